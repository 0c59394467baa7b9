// Reads what a student's output says, as raysearch/deploy/runtime/transcribe.py does.

/** Text of the log-probabilities of one recording, (frames x tokens) or (values), by the layout in the model's metadata. */
export function decode(values, shape, layout) {
  return layout.unit === "fields" ? fields(values, layout) : spelled(values, shape, layout);
}

// The most probable token of each frame, with repeats merged and blanks dropped.
function spelled(values, [, frames, tokens], { symbols, unit }) {
  const said = [];
  let before = -1;
  for (let frame = 0; frame < frames; frame++) {
    const best = largest(values, frame * tokens, tokens);
    if (best !== before && best !== 0) said.push(symbols[best - 1]);
    before = best;
  }
  return unit === "phones" ? said.join(" ") : said.join("").split(" ").filter(Boolean).join(" ");
}

// The most probable value of each field; of a label alone the value itself.
function fields(values, layout) {
  const names = Object.keys(layout.fields);
  let start = 0;
  const read = names.map((name) => {
    const known = layout.fields[name];
    const value = known[largest(values, start, known.length)];
    start += known.length;
    return [name, value];
  });
  if (read.length === 1) return read[0][1];
  return read.filter(([, value]) => value).map(([name, value]) => `${name}=${value}`).join(", ");
}

function largest(values, start, count) {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[start + i] > values[start + best]) best = i;
  return best;
}
