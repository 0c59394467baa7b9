// Shows what the settings of a search did: how important each was, one slice for each, and all in parallel coordinates.

import { ask } from "./ask.js";
import { onFront } from "./chart.js";
import { CONFIG, frame, plain, plotly, shown, styled } from "./look.js";
import { parallel } from "./parallel.js";
import { element } from "./tables.js";

const at = (id) => document.getElementById(id);
const known = { version: "", found: null };

/** Draws the settings of a search, if a reader has unfolded them. */
export async function drawSettings(search, look) {
  if (!search || !at("settings").open) return;
  const version = `${search.id} ${search.version}`;
  if (known.version !== version) {
    const found = await ask(`api/searches/${search.id}/settings`);
    Object.assign(known, { version, found });
  }
  const { found } = known;
  const Plotly = await plotly();
  await importances(Plotly, found, look);
  const select = at("slice-of");
  const chosen = select.value in found.objectives ? select.value : search.axes.y;
  select.replaceChildren(...Object.entries(found.objectives).map(([key, name]) => element("option", { value: key, selected: key === chosen }, name)));
  select.onchange = () => slices(Plotly, found, look, select.value);
  await slices(Plotly, found, look, chosen);
  coordinates(found);
}

async function importances(Plotly, { importances: shares, objectives }, look) {
  const names = Object.keys(shares);
  at("importances").hidden = !names.length;
  if (!names.length) return;
  const settings = [...new Set(names.flatMap((name) => Object.keys(shares[name])))];
  const traces = names.map((name, i) => ({
    type: "bar", orientation: "h", name: plain(objectives[name] ?? name), marker: { color: styled(look, i).colour, pattern: { shape: ["", "/", "x", "."][i % 4] } },
    y: settings.map(plain), x: settings.map((key) => shares[name][key] ?? null), hovertemplate: "%{y}: %{x:.3f}<extra></extra>",
  }));
  const layout = frame(at("importances"), { x: "share of what the setting decides", y: "" });
  Object.assign(layout.yaxis, { autorange: "reversed" });
  await Plotly.react(at("importances"), traces, { ...layout, dragmode: false }, CONFIG);
}

// One small chart for each setting, all on one error or cost. Open marks are within noise, as on the front's chart.
async function slices(Plotly, { axes, objectives, trials }, look, name) {
  const settings = axes.filter((axis) => !(axis.key in objectives));
  const wanted = axes.find((axis) => axis.key === name);
  const chart = at("slices");
  const columns = Math.max(1, Math.min(4, settings.length, Math.floor(chart.clientWidth / 220)));
  const rows = Math.ceil(settings.length / columns);
  chart.style.height = `${rows * 15 + 2}rem`;
  const methods = [...new Set(trials.map((trial) => trial.method))].sort();
  const own = trials.map((trial) => styled(look, methods.indexOf(trial.method)));
  const open = (trial) => trial.mark !== "front" && trial.mark !== "firmly dominated";
  const layout = { ...frame(chart, { x: "", y: "" }), showlegend: false, grid: { rows, columns, pattern: "independent", ygap: 0.35, xgap: 0.14 } };
  const { xaxis, yaxis } = layout;
  const traces = settings.map((axis, i) => {
    const n = i ? i + 1 : "";
    const texts = new Map(axis.ticks);
    const ticks = texts.size ? { tickmode: "array", tickvals: [...texts.keys()], ticktext: [...texts.values()].map(plain) } : {};
    const text = (value) => plain(texts.get(value) ?? shown(axis.log ? 10 ** value : value));
    layout[`xaxis${n}`] = { ...xaxis, ...ticks, title: { text: plain(axis.label), standoff: 4 } };
    layout[`yaxis${n}`] = { ...yaxis, title: { text: i % columns ? "" : wanted.label }, type: name === "macs" || name === "params" ? "log" : "linear" };
    return {
      type: "scatter", mode: "markers", xaxis: `x${n}`, yaxis: `y${n}`, x: axis.values, y: wanted.values, hoverinfo: "text",
      hovertext: trials.map((trial, at) => `trial ${trial.number}, ${plain(trial.method)}<br>${plain(axis.label)} ${text(axis.values[at])}<br>${wanted.label} ${wanted.values[at].toFixed(2)}`),
      marker: {
        color: own.map((one) => one.colour), symbol: own.map((one, at) => one.shape + (open(trials[at]) ? "-open" : "")),
        size: trials.map((trial) => (onFront(trial) ? 10 : 6)), opacity: trials.map((trial) => (onFront(trial) ? 1 : 0.6)),
      },
    };
  });
  await Plotly.react(chart, traces, layout, CONFIG);
}

function coordinates({ axes }) {
  parallel(at("coordinates"), axes, (count) => {
    at("coordinates-kept").textContent = `${count} of ${axes[0].values.length} trials`;
  });
}
