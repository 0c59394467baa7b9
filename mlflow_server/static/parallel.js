// Draws trials in parallel coordinates: an axis for each setting, cost and error, and a line for each trial. It is drawn
// on a plain canvas, since not every browser has WebGL, which Plotly's own needs.

import { ink } from "./look.js";

// Viridis: its lightness rises all along, so that all eyes and grey paper can read it.
const VIRIDIS = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"];
const TOP = 34, BOTTOM = 16, SIDE = 56, NEAR = 30;
const brushes = new Map();

/**
 * Draws `axes`, a list of {key, label, values, ticks: [[place, text], ...]}, on a canvas. The last axis, an error, gives
 * lines their colours. Who drags along an axis keeps the trials there, and `kept(count)` hears of how many.
 */
export function parallel(canvas, axes, kept) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const drawn = axes.map((axis, i) => laid(axis, SIDE + (i * (width - 2 * SIDE)) / Math.max(1, axes.length - 1), height));
  for (const key of brushes.keys()) if (!axes.some((axis) => axis.key === key)) brushes.delete(key);
  const show = () => {
    pen.clearRect(0, 0, width, height);
    lines(pen, drawn, kept);
    for (const axis of drawn) ruler(pen, axis, height);
  };
  brush(canvas, drawn, height, show);
  show();
}

function laid(axis, x, height) {
  const places = [...axis.values, ...axis.ticks.map(([place]) => place)];
  const low = places.reduce((a, b) => Math.min(a, b), Infinity);
  const high = places.reduce((a, b) => Math.max(a, b), -Infinity);
  const y = (value) => TOP + (height - TOP - BOTTOM) * (high === low ? 0.5 : (high - value) / (high - low));
  const value = (at) => high - ((at - TOP) / (height - TOP - BOTTOM)) * (high - low);
  const ticks = axis.ticks.length ? axis.ticks : [0, 1, 2, 3, 4].map((i) => low + ((high - low) * i) / 4).map((place) => [place, place.toPrecision(3)]);
  return { ...axis, ticks, x, y, value };
}

function lines(pen, axes, kept) {
  const within = (trial) => axes.every(({ key, values }) => {
    const range = brushes.get(key);
    return !range || (values[trial] >= range[0] && values[trial] <= range[1]);
  });
  const error = axes.at(-1);
  const order = error.values.map((value, trial) => [value, trial]).sort(([a], [b]) => b - a);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const colour = (rank) => VIRIDIS[Math.min(7, Math.floor((8 * (dark ? rank : order.length - 1 - rank)) / order.length))];
  const count = order.filter(([, trial]) => within(trial)).length;
  for (const wanted of [false, true]) {
    order.forEach(([, trial], rank) => {
      if (within(trial) !== wanted) return;
      pen.strokeStyle = wanted ? colour(rank) : ink("line");
      pen.globalAlpha = wanted ? Math.max(0.25, Math.min(0.9, 60 / count)) : 0.5;
      pen.lineWidth = wanted ? 1.6 : 1;
      pen.beginPath();
      axes.forEach(({ x, y, values }) => pen.lineTo(x, y(values[trial])));
      pen.stroke();
    });
  }
  pen.globalAlpha = 1;
  kept(count);
}

function ruler(pen, { key, label, ticks, x, y }, height) {
  pen.strokeStyle = ink("soft");
  pen.lineWidth = 1;
  pen.strokeRect(x, TOP, 0, height - TOP - BOTTOM);
  const range = brushes.get(key);
  if (range) {
    pen.strokeStyle = ink("accent");
    pen.lineWidth = 6;
    pen.strokeRect(x, y(range[1]), 0, y(range[0]) - y(range[1]));
  }
  pen.textAlign = "center";
  pen.font = "600 13px system-ui, sans-serif";
  pen.fillStyle = ink("ink");
  pen.fillText(label, x, 14);
  pen.textAlign = "left";
  pen.font = "12px system-ui, sans-serif";
  // A rim in the colour of the paper keeps the text readable where lines cross it.
  Object.assign(pen, { strokeStyle: ink("paper"), lineWidth: 3, lineJoin: "round" });
  let last = Infinity;
  for (const [place, text] of [...ticks].sort(([a], [b]) => a - b)) {
    if (last - y(place) < 13) continue;
    last = y(place);
    pen.strokeText(text, x + 5, last + 4);
    pen.fillText(text, x + 5, last + 4);
  }
}

// A drag along an axis keeps what lies there, a click on it keeps all again. Fingers scroll the page instead.
function brush(canvas, axes, height, show) {
  canvas.onpointerdown = (event) => {
    const axis = axes.find(({ x }) => Math.abs(x - event.offsetX) < NEAR);
    if (!axis || event.pointerType === "touch") return;
    canvas.setPointerCapture(event.pointerId);
    const start = event.offsetY;
    canvas.onpointermove = (moved) => {
      const end = Math.max(TOP, Math.min(height - BOTTOM, moved.offsetY));
      if (Math.abs(end - start) > 3) brushes.set(axis.key, [axis.value(end), axis.value(start)].sort((a, b) => a - b));
      show();
    };
    canvas.onpointerup = (up) => {
      canvas.onpointermove = null;
      if (Math.abs(up.offsetY - start) <= 3) brushes.delete(axis.key);
      show();
    };
  };
}
