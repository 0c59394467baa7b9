// Lays two texts side by side, so that a reader sees which words differ.

/**
 * The fewest changes from one list of words to another, as a list of {kind, said, read}: `equal`, `substituted`,
 * `deleted` (said, but not read) or `inserted` (read, but not said).
 */
export function align(said, read) {
  const width = read.length + 1;
  const cost = new Uint32Array((said.length + 1) * width);
  for (let i = 0; i <= said.length; i++) {
    for (let j = 0; j <= read.length; j++) {
      if (i === 0 || j === 0) cost[i * width + j] = i + j;
      else {
        const differs = said[i - 1] === read[j - 1] ? 0 : 1;
        cost[i * width + j] = Math.min(cost[(i - 1) * width + j - 1] + differs, cost[(i - 1) * width + j] + 1, cost[i * width + j - 1] + 1);
      }
    }
  }
  const steps = [];
  for (let [i, j] = [said.length, read.length]; i > 0 || j > 0;) {
    const here = cost[i * width + j];
    const differs = i > 0 && j > 0 && said[i - 1] !== read[j - 1] ? 1 : 0;
    if (i > 0 && j > 0 && cost[(i - 1) * width + j - 1] + differs === here) {
      steps.push({ kind: differs ? "substituted" : "equal", said: said[--i], read: read[--j] });
    } else if (i > 0 && cost[(i - 1) * width + j] + 1 === here) steps.push({ kind: "deleted", said: said[--i] });
    else steps.push({ kind: "inserted", read: read[--j] });
  }
  return steps.reverse();
}
