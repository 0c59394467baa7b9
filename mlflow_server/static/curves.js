// Draws one curve of each picked trial: its loss, or its error at each rung.

import { ask } from "./ask.js";
import { CONFIG, frame, plain, plotly, styled } from "./look.js";
import { element } from "./tables.js";

const view = { metric: "train/loss" };

/** Draws within `at` the curves of `picked`, a list of {search, trial}. Called again, it shows what has come since. */
export async function drawCurves(at, picked, look) {
  at.hidden = !picked.length;
  if (!picked.length) return;
  const chart = at.querySelector(".chart");
  const found = await Promise.all([...new Set(picked.map(({ search }) => search))].map(async (search) => {
    const trials = picked.filter((one) => one.search === search).map(({ trial }) => `trial=${trial.number}`);
    const answer = await ask(`api/searches/${search.id}/curves?${trials.join("&")}&metric=${encodeURIComponent(view.metric)}`);
    return { search, ...answer };
  }));
  choices(at, [...new Set(found.flatMap(({ metrics }) => metrics))], () => drawCurves(at, picked, look));
  const several = found.length > 1;
  const traces = picked.map(({ search, trial }, i) => {
    const points = found.find((one) => one.search === search).curves.find((one) => one.trial === trial.number)?.points ?? [];
    const { colour, shape } = styled(look, i);
    const name = `trial ${trial.number}${several ? ` of ${search.name}` : ""}`;
    return {
      type: "scatter", mode: points.length > 40 ? "lines" : "lines+markers", name: plain(name), showlegend: true,
      line: { color: colour, width: 1.8 }, marker: { symbol: shape, size: 7 },
      x: points.map(([step]) => step), y: points.map(([, value]) => value), hovertemplate: "%{x} updates: %{y:.4g}<extra></extra>",
    };
  });
  const layout = { ...frame(chart, { x: "updates", y: view.metric }), uirevision: view.metric };
  const Plotly = await plotly();
  await Plotly.react(chart, traces, layout, CONFIG);
}

function choices(at, metrics, changed) {
  const select = at.querySelector("select");
  if (!metrics.includes(view.metric)) metrics = [view.metric, ...metrics];
  if (JSON.stringify(metrics) !== select.dataset.metrics) {
    select.dataset.metrics = JSON.stringify(metrics);
    select.replaceChildren(...metrics.map((name) => element("option", { value: name, selected: name === view.metric }, name)));
  }
  select.onchange = () => {
    view.metric = select.value;
    changed();
  };
}
