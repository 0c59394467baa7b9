// The page itself: it knows which searches are chosen, which limits are set, and which two trials are picked for
// comparison.

import { draw, shown } from "./chart.js";
import { lookAtJobs, register, startRegistering, whyNot } from "./register.js";
import { differenceTable, element, frontTable, searchItem } from "./tables.js";
import { openOnRuns } from "./workflow.js";

const at = (id) => document.getElementById(id);
const state = { listed: [], chosen: [], loaded: new Map(), limits: {}, picked: [] };
const COSTS = [["macs", "MACs", "GMAC"], ["params", "Parameters", "M"], ["latency", "Latency", "ms"]];
const STEPS = 200;

// Asks the server, and returns its JSON. Throws an error with the server's own reason.
async function ask(path, options) {
  const response = await fetch(path, options);
  const text = await response.text();
  if (!response.ok) throw new Error(reason(text) || `${response.status} ${response.statusText}`);
  return JSON.parse(text);
}

function reason(text) {
  try {
    const { reason, message } = JSON.parse(text);
    return reason ?? message;
  } catch {
    return text.slice(0, 300);
  }
}

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

// The part of the address after # holds the chosen searches, so that a link shows the same.
async function start() {
  state.listed = (await ask("api/searches")).searches;
  const known = new Set(state.listed.map((search) => search.id));
  state.chosen = location.hash.slice(1).split(",").filter((id) => known.has(id));
  if (!state.chosen.length) state.chosen = state.listed.slice(0, 1).map((search) => search.id);
  list();
  if (!state.listed.length) say("No search yet: raysearch sync NAME fills MLflow with one.");
  else await load();
}

function list() {
  const wanted = at("find").value.toLowerCase();
  const found = state.listed.filter((search) => search.name.toLowerCase().includes(wanted));
  at("searches").replaceChildren(...found.map((search) => searchItem(search, state.chosen.includes(search.id), choose)));
}

async function choose(id, chosen) {
  state.chosen = chosen ? [...state.chosen, id] : state.chosen.filter((other) => other !== id);
  state.picked = state.picked.filter(([search]) => state.chosen.includes(search));
  history.replaceState(null, "", `#${state.chosen.join(",")}`);
  await load().catch(complain);
}

async function load() {
  const missing = state.chosen.filter((id) => !state.loaded.has(id));
  if (missing.length) say("Loading ...");
  const jobs = lookAtJobs();
  const found = await Promise.all(missing.map((id) => ask(`api/searches/${id}`)));
  await jobs;
  for (const search of found) state.loaded.set(search.id, search);
  setLimits();
  render();
  await compare();
}

const searches = () => state.chosen.map((id) => state.loaded.get(id)).filter(Boolean);

/** The searches that have the same axes as the first one. The others cannot be on its chart. */
function alike() {
  const all = searches();
  const first = all[0]?.axes;
  return all.filter(({ axes }) => axes.x === first.x && axes.y === first.y);
}

function within(trial) {
  return COSTS.every(([cost]) => state.limits[cost] === undefined || trial.cost[cost] === null || trial.cost[cost] <= state.limits[cost]);
}

// One slider for each cost that differs between trials.
function setLimits() {
  state.limits = {};
  const trials = alike().flatMap((search) => search.trials);
  const sliders = COSTS.flatMap(([cost, name, unit]) => {
    const values = trials.map((trial) => trial.cost[cost]).filter((value) => value !== null && value > 0);
    if (new Set(values).size < 2) return [];
    return [slider(cost, name, unit, values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b)))];
  });
  at("limits").replaceChildren(...sliders);
}

function slider(cost, name, unit, low, high) {
  const output = element("output", { for: `limit-${cost}` }, "no limit");
  const input = element("input", { id: `limit-${cost}`, type: "range", min: 0, max: STEPS, value: STEPS, "aria-valuetext": "no limit" });
  input.addEventListener("input", () => {
    const step = Number(input.value);
    // Sliders are logarithmic, as the axis is. The last factor keeps rounding from hiding the trial at the limit.
    state.limits[cost] = step === STEPS ? undefined : low * (high / low) ** (step / STEPS) * (1 + 1e-9);
    const text = step === STEPS ? "no limit" : `at most ${shown(state.limits[cost])} ${unit}`;
    output.textContent = text;
    input.setAttribute("aria-valuetext", text);
    render();
  });
  return element("label", {}, name, input, output);
}

function render() {
  const drawn = alike();
  at("lines").replaceChildren(...searches().map((search) => element("p", {}, search.line)));
  at("chart").hidden = !drawn.length;
  if (drawn.length) draw(at("chart"), drawn, within, pick);
  const trials = drawn.flatMap((search) => search.trials);
  const hidden = trials.length - trials.filter(within).length;
  at("hidden").textContent = hidden ? `${hidden} of ${trials.length} trials are over the limits and hidden; the front stays that of the whole search.` : "";
  say(drawn.length < searches().length ? "Searches with other objectives are not on the chart." : "");
  tables();
}

function tables() {
  const actions = { within, pick, register, whyNot, isPicked: (id, number) => state.picked.some((p) => p[0] === id && p[1] === number) };
  // The tables are made anew, which would take the focus from whoever uses the keyboard: it is put back.
  const focused = document.activeElement?.getAttribute("aria-label");
  at("front").replaceChildren(...searches().map((search) => frontTable(search, actions)));
  if (focused) [...at("front").querySelectorAll("[aria-label]")].find((found) => found.getAttribute("aria-label") === focused)?.focus();
  const pair = state.picked.map(([id, number]) => {
    const search = state.loaded.get(id);
    return { search, trial: search.trials.find((trial) => trial.number === number) };
  });
  at("difference").hidden = pair.length !== 2;
  if (pair.length === 2) at("difference").querySelector(".scroll").replaceChildren(differenceTable(...pair));
}

// Picks a trial, or drops it if it is picked. Of three, the one that was picked first is dropped.
function pick(id, number) {
  const others = state.picked.filter((p) => p[0] !== id || p[1] !== number);
  state.picked = others.length < state.picked.length ? others : [...others, [id, number]].slice(-2);
  tables();
}

async function compare() {
  const drawn = alike();
  at("compare").hidden = drawn.length < 2;
  if (drawn.length < 2) return;
  const query = drawn.slice(0, 8).map((search) => `search=${search.id}`).join("&");
  const { table } = await ask(`api/compare?${query}`);
  at("compare").querySelector(".scroll").replaceChildren(element("pre", { tabindex: 0 }, table));
}

const complain = (error) => say(error.message, true);

at("find").addEventListener("input", list);
openOnRuns();
startRegistering({ ask, complain, chosen: () => state.chosen });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
start().catch(complain);
