// Draws the chart of one or several searches. Plotly takes text for markup of its own, so all names go through `plain`.

// Colours on a light page, and lighter ones on a dark page.
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7B3294", "#E69F00", "#8C510A", "#56B4E9"];
const LIGHTER = ["#56B4E9", "#FF8C4B", "#2FD0A0", "#E7A5C8", "#C08AE0", "#F5C04D", "#D9A45F", "#8FD0F5"];
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "cross", "star-triangle-down", "pentagon", "hexagon"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash"];
const DOMINATED = { "within noise": "dominated, within noise", "firmly dominated": "firmly dominated" };
const onFront = (trial) => trial.mark.startsWith("front");

export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
export const shown = (setting) => {
  if (setting === null || setting === undefined) return "-";
  if (typeof setting === "number") return String(Number(setting.toPrecision(4)));
  return typeof setting === "object" ? JSON.stringify(setting) : String(setting);
};

// Value of a trial on an axis, which is a cost or an error.
const place = (trial, axis) => (axis in trial.cost ? trial.cost[axis] : trial.error[axis]?.value);

/** Draws the trials for which `within(trial)` is true. A click on a point calls `picked(id of the search, trial number)`. */
export function draw(element, searches, within, picked) {
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  const colours = matchMedia("(prefers-color-scheme: dark)").matches ? LIGHTER : COLOURS;
  const methods = [...new Set(searches.flatMap((search) => search.trials.map((trial) => trial.method)))].sort();
  const colour = (method) => colours[methods.indexOf(method) % colours.length];
  const largest = Math.max(1e-9, ...searches.flatMap((search) => search.trials.map((trial) => trial.cost.params)));
  const traces = searches.flatMap((search, index) => [
    ...dominated(search, index, colour, within, largest),
    line(search, index, within, ink, searches.length > 1),
    ...methods.map((method) => members(search, index, method, colour(method), within, ink, largest, searches.length > 1)),
    ...knee(search, within, ink),
    ...teacher(search, ink),
  ]).concat(published(searches[0], ink), keys(searches, ink));
  const { x_label, y_label } = searches[0].axes;
  const grid = { gridcolor: ink("line"), zeroline: false, linecolor: ink("line"), automargin: true };
  const layout = {
    paper_bgcolor: ink("paper"), plot_bgcolor: ink("paper"), font: { color: ink("ink"), size: 13 },
    margin: { l: 60, r: 20, t: 16, b: 56 }, hovermode: "closest", dragmode: "zoom", uirevision: searches.map((s) => s.id).join(),
    xaxis: { ...grid, type: "log", title: { text: plain(x_label) }, dtick: "D2" },
    yaxis: { ...grid, title: { text: plain(y_label) } },
    legend: { bgcolor: "rgba(0,0,0,0)", itemsizing: "constant", y: 0.94 }, // below the buttons
    hoverlabel: { align: "left", bgcolor: ink("shade"), bordercolor: ink("soft"), font: { color: ink("ink") } },
  };
  const config = { displaylogo: false, responsive: true, scrollZoom: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  Plotly.react(element, traces.filter((trace) => trace.x.length), layout, config);
  // `draw` is called again and again on one element: without this, a click would be heard as many times.
  element.removeAllListeners("plotly_click");
  element.on("plotly_click", ({ points }) => {
    const at = points[0].customdata;
    if (at) picked(at[0], at[1]);
  });
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

// The shape says which search it is. It is filled where the mark is sure, and open where it may be noise.
const symbol = (index, mark) => SYMBOLS[index] + (mark === "front" || mark === "firmly dominated" ? "" : "-open");

function dominated(search, index, colour, within, largest) {
  return Object.keys(DOMINATED).map((mark) => {
    const trials = search.trials.filter((trial) => trial.mark === mark && within(trial));
    const marker = {
      color: trials.map((trial) => colour(trial.method)), symbol: symbol(index, mark),
      size: sizes(trials, largest, 13), opacity: 0.5,
    };
    return { ...scatter(search, trials, mark, marker, false), legendgroup: mark, showlegend: false };
  });
}

// Lines of the legend for dominated trials: their points have the colours of many methods, so these are grey.
function keys(searches, ink) {
  const marks = new Set(searches.flatMap((search) => search.trials.map((trial) => trial.mark)));
  return Object.entries(DOMINATED).filter(([mark]) => marks.has(mark)).map(([mark, name]) => {
    const marker = { color: ink("soft"), symbol: symbol(0, mark), size: 9, opacity: 0.6 };
    return { type: "scatter", mode: "markers", name, legendgroup: mark, x: [null], y: [null], marker };
  });
}

// The step line of a front.
function line(search, index, within, ink, several) {
  const through = new Set(search.line_through);
  const { x, y } = search.axes;
  const trials = search.trials
    .filter((trial) => through.has(trial.number) && within(trial))
    .sort((a, b) => place(a, x) - place(b, x) || place(a, y) - place(b, y));
  return {
    type: "scatter", mode: "lines", name: several ? `front of ${plain(search.name)}` : "front", hoverinfo: "skip",
    x: trials.map((trial) => place(trial, x)), y: trials.map((trial) => place(trial, y)),
    line: { shape: "hv", color: ink("ink"), width: 1.3, dash: DASHES[index] },
  };
}

function members(search, index, method, colour, within, ink, largest, several) {
  const trials = search.trials.filter((trial) => onFront(trial) && trial.method === method && within(trial));
  const symbols = trials.map((trial) => symbol(index, trial.mark));
  const marker = { color: colour, symbol: symbols, opacity: 1, size: sizes(trials, largest, 24), line: { color: colour, width: 1.8 } };
  return scatter(search, trials, several ? `${method}, ${search.name}` : method, marker, true);
}

function knee(search, within, ink) {
  const trials = search.trials.filter((trial) => trial.number === search.knee && within(trial));
  const ring = { symbol: "circle-open", size: 30, line: { width: 2 }, color: ink("ink") };
  return [{ ...scatter(search, trials, "knee", ring, false), hoverinfo: "skip" }];
}

function teacher(search, ink) {
  if (!search.teacher) return [];
  const { name, x, y } = search.teacher;
  const text = `${plain(name)}<br>${shown(x)}, ${y.toFixed(2)} %`;
  const marker = { symbol: "star", size: 16, color: ink("teacher"), line: { color: ink("ink"), width: 1 } };
  return [{ type: "scatter", mode: "markers", name: plain(name), x: [x], y: [y], marker, hovertext: [text], hoverinfo: "text" }];
}

// What others have measured and printed. A click on its line of the legend shows it.
function published(search, ink) {
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
