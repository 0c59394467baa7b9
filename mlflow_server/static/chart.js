// Draws the chart of one or several searches on two of their objectives: at first on cost and error.
//
// The rules are those of front.png and front.html: a mark is open where it is within noise, small and faint off the
// front, and its colour and its shape both say which method it is, or of several searches which search.

import { CONFIG, frame, ink, plain, plotly, shown, styled } from "./look.js";

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash"];
const DOMINATED = { "within noise": "dominated, within noise", "firmly dominated": "firmly dominated" };
const MOST_BARS = 15; // Members of a front whose intervals are drawn unasked.
export const onFront = (trial) => trial.mark?.startsWith("front") ?? false;

/** Value of a trial on an axis, which is a cost or an error. */
export const place = (trial, axis) => (axis in trial.cost ? trial.cost[axis] : trial.error[axis]?.value);

/** Whether intervals are drawn where nobody has said. */
export const barsByDefault = (searches) => searches.reduce((sum, search) => sum + search.front.length, 0) <= MOST_BARS;

/**
 * Draws the trials for which `within(trial)` is true, with the intervals of the front's members if `bars`. A click on a
 * point calls `picked(id of the search, trial number)`.
 */
export async function draw(element, searches, { look, within, bars, picked }) {
  const series = seriesOf(searches, look);
  const largest = searches.flatMap((search) => search.trials).reduce((most, trial) => Math.max(most, trial.cost.params), 1e-9);
  const several = searches.length > 1;
  const traces = searches.flatMap((search, index) => [
    ...Object.keys(DOMINATED).map((mark) => dominated(search, mark, series, within, largest)),
    line(search, index, within, several),
    ...series.filter((one) => one.of(search)).map((one) => members(search, one, within, bars, largest, element)),
    knee(search, within),
  ]).concat(teachers(searches), published(searches[0]), keys(searches));
  const { x, y, x_label, y_label, x_log, y_log } = searches[0].axes;
  const layout = frame(element, { x: x_label, y: y_label });
  if (x_log) Object.assign(layout.xaxis, { type: "log", dtick: "D2" });
  if (y_log) Object.assign(layout.yaxis, { type: "log", dtick: "D2" });
  ranges(layout, searches, within, bars);
  layout.uirevision = [x, y, ...searches.map((search) => search.id)].join();
  layout.shapes = searches.filter((search) => search.teacher).map(({ teacher }) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: teacher.y, y1: teacher.y, layer: "below",
    line: { color: ink("soft"), width: 1, dash: "dash" },
  }));
  const Plotly = await plotly();
  await Plotly.react(element, traces.filter((trace) => trace.x.length), layout, CONFIG);
  // `draw` is called again and again on one element: without this, a click would be heard as many times.
  element.removeAllListeners("plotly_click");
  element.on("plotly_click", ({ points }) => {
    const at = points[0].customdata;
    if (at) picked(at[0], at[1]);
  });
}

// The ends of both axes, with some air. Plotly's own search for them takes half a second where there are thousands of points.
function ranges(layout, searches, within, bars) {
  const ends = (key, of, air) => {
    let [low, high] = [Infinity, -Infinity];
    const widen = (value) => { if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)]; };
    for (const search of searches) {
      for (const trial of search.trials.filter(within)) {
        widen(of(place(trial, search.axes[key])));
        const interval = bars && onFront(trial) && trial.error[search.axes[key]];
        if (interval) [interval.low, interval.high].forEach((end) => widen(of(end)));
      }
      if (search.teacher) widen(of(search.teacher[key]));
    }
    const room = air * (high - low || 1);
    return low <= high ? [low - room, high + room] : undefined;
  };
  const { x_log, y_log } = searches[0].axes;
  layout.xaxis.range = ends("x", x_log ? Math.log10 : (value) => value, 0.06);
  layout.yaxis.range = ends("y", y_log ? Math.log10 : (value) => value, 0.06);
}

// What has a colour and a shape of its own: each method of one search, or each of several searches.
function seriesOf(searches, look) {
  if (searches.length > 1) {
    return searches.map((search, i) => ({ name: search.name, ...styled(look, i), of: (other) => other === search, has: () => true }));
  }
  const methods = [...new Set(searches[0].trials.map((trial) => trial.method))].sort();
  return methods.map((method, i) => ({ name: method, ...styled(look, i), of: () => true, has: (trial) => trial.method === method }));
}

function scatter(search, trials, name, marker, errorBars) {
  const { x, y } = search.axes;
  const bars = trials.map((trial) => trial.error[y] ?? { low: place(trial, y), high: place(trial, y) });
  return {
    type: "scatter", mode: "markers", name: plain(name), marker,
    x: trials.map((trial) => place(trial, x)),
    y: trials.map((trial) => place(trial, y)),
    ...(errorBars && {
      error_y: {
        type: "data", symmetric: false, thickness: 1.2, width: 0,
        array: trials.map((trial, i) => bars[i].high - place(trial, y)),
        arrayminus: trials.map((trial, i) => place(trial, y) - bars[i].low),
      },
    }),
    customdata: trials.map((trial) => [search.id, trial.number]),
    hovertext: trials.map((trial) => details(search, trial)),
    hoverinfo: "text",
  };
}

// What appears when a reader points at a trial.
function details(search, trial) {
  const errors = Object.entries(trial.error).filter(([, error]) => error.value !== null);
  return [
    `<b>${plain(search.name)} · trial ${trial.number}</b>`,
    `${plain(trial.method)}: ${plain(trial.mark)}${trial.by === "pairs" ? ", by pairs" : ""}${trial.number === search.knee ? ", knee" : ""}`,
    `${shown(trial.cost.macs)} GMAC, ${shown(trial.cost.params)} M params` +
      (trial.cost.latency === null ? "" : `, ${shown(trial.cost.latency)} ms`),
    ...errors.map(([key, error]) => `${plain(key)} ${error.value.toFixed(2)} % (95 %: ${error.low.toFixed(2)} - ${error.high.toFixed(2)})`),
    ...search.settings.filter((key) => key in trial.config).map((key) => plain(`${key} ${shown(trial.config[key])}`)),
  ].join("<br>");
}

// The area of a point, not its diameter, grows with the number of parameters.
const sizes = (trials, largest, most) => trials.map((trial) => 5 + (most - 5) * Math.sqrt(trial.cost.params / largest));

const symbol = (shape, mark) => shape + (mark === "front" || mark === "firmly dominated" ? "" : "-open");

function dominated(search, mark, series, within, largest) {
  const trials = search.trials.filter((trial) => trial.mark === mark && within(trial));
  const own = trials.map((trial) => series.find((one) => one.of(search) && one.has(trial)));
  const marker = {
    color: own.map((one) => one.colour), symbol: own.map((one) => symbol(one.shape, mark)),
    size: sizes(trials, largest, 13), opacity: 0.5,
  };
  return { ...scatter(search, trials, mark, marker, false), legendgroup: mark, showlegend: false };
}

// Lines of the legend for dominated trials: their points have many colours and shapes, so these are grey circles.
function keys(searches) {
  const marks = new Set(searches.flatMap((search) => search.trials.map((trial) => trial.mark)));
  return Object.entries(DOMINATED).filter(([mark]) => marks.has(mark)).map(([mark, name]) => {
    const marker = { color: ink("soft"), symbol: symbol("circle", mark), size: 9, opacity: 0.6 };
    return { type: "scatter", mode: "markers", name, legendgroup: mark, x: [null], y: [null], marker };
  });
}

// The step line of a front.
function line(search, index, within, several) {
  const through = new Set(search.line_through);
  const { x, y } = search.axes;
  const trials = search.trials
    .filter((trial) => through.has(trial.number) && within(trial))
    .sort((a, b) => place(a, x) - place(b, x) || place(a, y) - place(b, y));
  return {
    type: "scatter", mode: "lines", name: several ? `front of ${plain(search.name)}` : `${search.pairs.length > 1 ? "best on these axes" : "front"} (open: within noise)`, hoverinfo: "skip",
    x: trials.map((trial) => place(trial, x)), y: trials.map((trial) => place(trial, y)),
    line: { shape: "hv", color: ink("ink"), width: 1.3, dash: DASHES[index] },
  };
}

function members(search, { name, colour, shape, has }, within, bars, largest, element) {
  const trials = search.trials.filter((trial) => onFront(trial) && has(trial) && within(trial));
  const symbols = trials.map((trial) => symbol(shape, trial.mark));
  const marker = { color: colour, symbol: symbols, opacity: 1, size: sizes(trials, largest, 24), line: { color: colour, width: 1.8 } };
  const numbered = roomFor(search, element);
  return {
    ...scatter(search, trials, name, marker, bars), mode: "markers+text", cliponaxis: false,
    text: trials.map((trial) => (numbered.has(trial.number) ? String(trial.number) : "")),
    textposition: "bottom left", textfont: { size: 11 },
  };
}

// Members of the front whose numbers fit beside them without one hiding another, the sure ones first.
function roomFor(search, element) {
  const { x, y, x_log, y_log } = search.axes;
  const [across, up] = [x_log, y_log].map((log) => (log ? Math.log : (value) => value));
  const front = new Set(search.front);
  const trials = search.trials.filter((trial) => front.has(trial.number) && place(trial, x) > 0);
  const spread = (axis, of) => {
    const values = search.trials.map((trial) => of(place(trial, axis)));
    return values.reduce((a, b) => Math.max(a, b), -Infinity) - values.reduce((a, b) => Math.min(a, b), Infinity) || 1;
  };
  const [width, height] = [spread(x, across), spread(y, up)];
  const [wide, high] = [0.7 * element.clientWidth, 0.8 * element.clientHeight]; // Asked once: each time lays the page out.
  const at = (trial) => [(across(place(trial, x)) / width) * wide, (up(place(trial, y)) / height) * high];
  const written = [];
  for (const trial of trials.sort((a, b) => (a.mark === "front" ? 0 : 1) - (b.mark === "front" ? 0 : 1))) {
    const [left, top] = at(trial);
    if (written.every(([, l, t]) => Math.abs(l - left) > 30 || Math.abs(t - top) > 14)) written.push([trial.number, left, top]);
  }
  return new Set(written.map(([number]) => number));
}

function knee(search, within) {
  const trials = search.trials.filter((trial) => trial.number === search.knee && within(trial));
  const ring = { symbol: "circle-open", size: 30, line: { width: 2 }, color: ink("ink") };
  return { ...scatter(search, trials, "knee", ring, false), hoverinfo: "skip" };
}

function teachers(searches) {
  return searches.filter((search) => search.teacher).map(({ teacher: { name, x, y } }) => {
    const text = `${plain(name)}<br>${shown(x)}, ${y.toFixed(2)} %`;
    const marker = { symbol: "star", size: 16, color: ink("teacher"), line: { color: ink("ink"), width: 1 } };
    return { type: "scatter", mode: "markers", name: `${plain(name)}, ${shown(y)} %`, x: [x], y: [y], marker, hovertext: [text], hoverinfo: "text" };
  });
}

// What others have measured and printed. A click on its line of the legend shows it.
function published(search) {
  const { label, points } = search.published;
  return {
    type: "scatter", mode: "markers+text", name: plain(label), visible: "legendonly",
    marker: { symbol: "diamond-open", size: 9, color: ink("ink") },
    x: points.map((point) => point.x), y: points.map((point) => point.y),
    text: points.map((point) => plain(point.name)), textposition: "middle right", textfont: { size: 9 },
    hovertext: points.map((point) => `${plain(point.name)}<br>${shown(point.x)}, ${point.y.toFixed(2)} %<br>${plain(point.source)}`),
    hoverinfo: "text",
  };
}
