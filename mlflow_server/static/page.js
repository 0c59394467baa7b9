// The page itself: it knows which searches are chosen, which limits are set, which trials are picked, and keeps all of it up
// to date while searches run.

import { ask } from "./ask.js";
import { barsByDefault, draw } from "./chart.js";
import { drawCurves } from "./curves.js";
import { showErrors } from "./errors.js";
import { follow, standing } from "./live.js";
import { shown } from "./look.js";
import { lookAtJobs, register, startRegistering, whyNot } from "./register.js";
import { differenceTable, element, frontTable, searchItem } from "./tables.js";
import { drawSettings } from "./settings.js";
import { offer, startTalk } from "./talk.js";
import { keepFocus, trialTable } from "./trials.js";
import { openOnRuns } from "./workflow.js";

const at = (id) => document.getElementById(id);
const state = { listed: [], look: null, chosen: [], loaded: new Map(), limits: {}, sliders: "", picked: [], bars: null };
const COSTS = [["macs", "MACs", "GMAC"], ["params", "Parameters", "M"], ["size", "File", "MB"], ["latency", "Latency", "ms"]];
const STEPS = 200;
const MOST_PICKED = 8;
const MOST_ROWS = 30; // Members of a front that its table shows unasked.

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

// The part of the address after # holds the chosen searches, so that a link shows the same.
async function start() {
  const wanted = location.hash.slice(1).split(",");
  // Those that the address names are asked for at once, and not only when the list has come.
  const early = wanted.filter((id) => /^[0-9a-f]{32}$/.test(id)).map((id) => ask(`api/searches/${id}`).catch(() => null));
  await listAll();
  for (const search of await Promise.all(early)) if (search) keep(search);
  const known = new Set(state.listed.map((search) => search.id));
  state.chosen = wanted.filter((id) => known.has(id));
  if (!state.chosen.length) state.chosen = state.listed.slice(0, 1).map((search) => search.id);
  list();
  if (!state.listed.length) say("No search yet: raysearch sync NAME fills MLflow with one.");
  else await load();
}

async function listAll() {
  const { searches, look } = await ask("api/searches");
  const changed = JSON.stringify(searches) !== JSON.stringify(state.listed);
  Object.assign(state, { listed: searches, look });
  return changed;
}

function list() {
  const wanted = at("find").value.toLowerCase();
  const found = state.listed.filter((search) => search.name.toLowerCase().includes(wanted));
  keepFocus(at("searches"), () => at("searches").replaceChildren(...found.map((search) => searchItem(search, state.chosen.includes(search.id), choose))));
}

// A search as it is now. What the list said of it when it was asked for tells whether there is a newer one.
const listedOf = (id) => state.listed.find((search) => search.id === id);
const keep = (search) => state.loaded.set(search.id, { ...search, version: listedOf(search.id)?.version });
const isStale = (id) => state.loaded.get(id)?.version !== listedOf(id)?.version;

// What follows the searches: the list, and of the chosen ones those that have changed.
async function refresh() {
  const changed = await listAll();
  if (changed) list();
  if (state.chosen.some(isStale)) await load();
  else {
    standings();
    // Curves of running trials grow between two ends of trials.
    if (isRunning()) drawCurves(at("curves"), state.picked.map(find).filter(Boolean), state.look).catch(complain);
  }
  if (at("status").classList.contains("bad")) say("");
}

async function choose(id, chosen) {
  state.chosen = chosen ? [...state.chosen, id] : state.chosen.filter((other) => other !== id);
  state.picked = state.picked.filter(([search]) => state.chosen.includes(search));
  state.bars = null;
  history.replaceState(null, "", `#${state.chosen.join(",")}`);
  await load().catch(complain);
}

async function load() {
  const missing = state.chosen.filter(isStale);
  if (missing.some((id) => !state.loaded.has(id))) say("Loading ...");
  const jobs = lookAtJobs();
  for (const search of await Promise.all(missing.map((id) => ask(`api/searches/${id}`)))) keep(search);
  await jobs;
  setLimits();
  await render();
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

// One slider for each cost that differs between trials. Those that need not change stay, under the hand that moves them.
function setLimits() {
  const trials = alike().flatMap((search) => search.trials);
  const ranges = COSTS.flatMap(([cost, name, unit]) => {
    const values = trials.map((trial) => trial.cost[cost]).filter((value) => value !== null && value > 0);
    if (new Set(values).size < 2) return [];
    return [[cost, name, unit, values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]];
  });
  const made = JSON.stringify(ranges);
  if (made === state.sliders) return;
  state.sliders = made;
  const costs = new Set(ranges.map(([cost]) => cost));
  for (const [cost] of COSTS) if (!costs.has(cost)) state.limits[cost] = undefined;
  keepFocus(at("limits"), () => at("limits").replaceChildren(...ranges.map((range) => slider(...range))));
}

function slider(cost, name, unit, low, high) {
  // Sliders are logarithmic, as the axis is. The last factor keeps rounding from hiding the trial at the limit.
  const limit = (step) => (step === STEPS ? undefined : low * (high / low) ** (step / STEPS) * (1 + 1e-9));
  const text = () => (state.limits[cost] === undefined ? "no limit" : `at most ${shown(state.limits[cost])} ${unit}`);
  const step = (value) => Math.max(0, Math.min(STEPS - 1, Math.round((STEPS * Math.log(value / low)) / Math.log(high / low))));
  const value = state.limits[cost] === undefined ? STEPS : step(state.limits[cost]);
  const output = element("output", { for: `limit-${cost}` }, text());
  const input = element("input", { id: `limit-${cost}`, type: "range", min: 0, max: STEPS, value, "aria-valuetext": text() });
  input.addEventListener("input", () => {
    state.limits[cost] = limit(Number(input.value));
    output.textContent = text();
    input.setAttribute("aria-valuetext", text());
    render();
  });
  return element("label", {}, name, input, output);
}

// Where each chosen search stands: its counts, and whether it runs, was interrupted or has failed.
function standings() {
  at("lines").replaceChildren(...searches().map((search) => {
    const listed = listedOf(search.id) ?? {};
    const text = standing(listed);
    return element("p", {}, search.line, ...(text ? [" · ", element("strong", { class: listed.status }, text)] : []));
  }));
}

async function render() {
  const drawn = alike();
  standings();
  at("chart").hidden = !drawn.length;
  at("bars").checked = state.bars ?? barsByDefault(drawn);
  const trials = drawn.flatMap((search) => search.trials);
  const hidden = trials.length - trials.filter(within).length;
  at("hidden").textContent = hidden ? `${hidden} of ${trials.length} trials are over the limits and hidden; the front stays that of the whole search.` : "";
  say(drawn.length < searches().length ? "Searches with other objectives are not on the chart." : "");
  tables();
  if (drawn.length) await draw(at("chart"), drawn, { look: state.look, within, bars: at("bars").checked, picked: pick });
}

const isPicked = (id, number) => state.picked.some((p) => p[0] === id && p[1] === number);

/** A trial with its search, whatever became of it; undefined if there is none any more. */
function find([id, number]) {
  const search = state.loaded.get(id);
  const trial = search && [...search.trials, ...search.others].find((one) => one.number === number);
  return trial && { search, trial };
}

function tables() {
  const actions = { within, pick, register, whyNot, isPicked };
  keepFocus(at("front"), () => at("front").replaceChildren(...searches().map((search) => frontTable(search, actions))));
  shorten(at("front"));
  offer(searches());
  drawSettings(searches()[0], state.look).catch(complain);
  trialTable(at("trials"), searches(), { ...actions, standing: stateOf });
  const picked = state.picked.map(find).filter(Boolean);
  const pair = picked.slice(-2);
  at("difference").hidden = pair.length !== 2;
  if (pair.length === 2) at("difference").querySelector(".wide").replaceChildren(differenceTable(...pair));
  drawCurves(at("curves"), picked, state.look).catch(complain);
  showErrors(at("errors"), pair.filter(({ search }) => search === pair.at(-1).search)).catch(complain);
}

// Shows the first rows of a long front, and a button for the others.
function shorten(tables) {
  const rows = [...tables.querySelectorAll("tbody tr")];
  if (state.allMembers || rows.length <= MOST_ROWS) return;
  for (const row of rows.slice(MOST_ROWS)) row.hidden = true;
  const more = element("button", { type: "button", onclick: () => { state.allMembers = true; render().catch(complain); } }, `Show all ${rows.length}`);
  tables.append(more);
}

// The state of a trial in words. One of a search that does not run any more does not run either.
function stateOf({ search, trial }) {
  return trial.state === "running" && listedOf(search.id)?.status !== "running" ? "interrupted" : trial.state;
}

// Picks a trial, or drops it if it is picked. Of too many, the one that was picked first is dropped.
function pick(id, number) {
  const others = state.picked.filter((p) => p[0] !== id || p[1] !== number);
  state.picked = others.length < state.picked.length ? others : [...others, [id, number]].slice(-MOST_PICKED);
  tables();
}

async function compare() {
  const drawn = alike();
  at("compare").hidden = drawn.length < 2;
  if (drawn.length < 2) return;
  const query = drawn.slice(0, 8).map((search) => `search=${search.id}`).join("&");
  const { table } = await ask(`api/compare?${query}`);
  at("compare").querySelector(".wide").replaceChildren(element("pre", { tabindex: 0 }, table));
}

const complain = (error) => say(error.message, true);
const isRunning = () => state.chosen.some((id) => listedOf(id)?.status === "running");

startTalk();
at("settings").addEventListener("toggle", () => drawSettings(searches()[0], state.look).catch(complain));
at("find").addEventListener("input", list);
openOnRuns();
startRegistering({ complain, chosen: () => state.chosen });
at("bars").addEventListener("change", () => {
  state.bars = at("bars").checked;
  render().catch(complain);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => render().catch(complain));
addEventListener("resize", () => {
  // The legend's place depends on the width.
  clearTimeout(state.resized);
  state.resized = setTimeout(() => render().catch(complain), 200);
});
start().catch(complain).finally(() => follow(refresh, isRunning, complain));
