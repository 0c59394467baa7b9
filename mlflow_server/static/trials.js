// The table of all trials, complete or not, which sorts by any column and filters. Only some rows are made at a time,
// since thousands would take seconds.

import { onFront } from "./chart.js";
import { shown } from "./look.js";
import { element } from "./tables.js";

const ROWS = 50;
const KINDS = {
  all: () => true,
  front: onFront,
  dominated: (trial) => trial.mark && !onFront(trial),
  stopped: (trial) => trial.state === "stopped",
  failed: (trial) => trial.state === "failed",
  infeasible: (trial) => trial.state === "infeasible",
  running: (trial) => trial.state === "running",
};
const view = { sort: "trial", down: false, kind: "all", text: "", rows: ROWS };

/** Makes the table of these searches within `at`. `actions` holds the functions {isPicked, pick, within, standing}. */
export function trialTable(at, searches, actions) {
  const rows = searches.flatMap((search) => [...search.trials, ...search.others].map((trial) => ({ search, trial })));
  const columns = columnsOf(searches, rows, actions);
  const body = element("tbody");
  const note = element("p", { class: "note", "aria-live": "polite" });
  const more = element("button", { type: "button", onclick: () => { view.rows += 4 * ROWS; fill(); } });
  const fill = () => {
    const found = rows.filter(({ trial }) => KINDS[view.kind](trial) && textOf(trial, columns).includes(view.text));
    sort(found, columns.find((column) => column.key === view.sort) ?? columns[0]);
    body.replaceChildren(...found.slice(0, view.rows).map((row) => rowOf(row, columns, actions)));
    note.textContent = `${found.length} of ${rows.length} trials`;
    more.hidden = found.length <= view.rows;
    more.textContent = `Show ${Math.min(4 * ROWS, found.length - view.rows)} more`;
  };
  const heads = columns.map((column) => head(column, () => {
    view.down = view.sort === column.key ? !view.down : false;
    view.sort = column.key;
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    heads[columns.indexOf(column)].setAttribute("aria-sort", view.down ? "descending" : "ascending");
    fill();
  }));
  const table = element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "pick"), ...heads)), body);
  const text = element("input", {
    id: "trials-text", type: "search", autocomplete: "off", value: view.text,
    oninput: (event) => { view.text = event.target.value.toLowerCase(); fill(); },
  });
  const kind = element("select", { id: "trials-kind", onchange: (event) => { view.kind = event.target.value; fill(); } },
    ...Object.entries(KINDS).map(([name, is]) => element("option", { value: name, selected: name === view.kind }, `${name} (${rows.filter(({ trial }) => is(trial)).length})`)));
  keepFocus(at, () => at.replaceChildren(
    element("div", { class: "filters" }, element("label", {}, "Show ", kind), element("label", {}, "that hold ", text)),
    element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "All trials" }, table), note, more));
  fill();
}

/** Makes something anew, and puts the focus back to where it was, for whoever types or uses the keyboard. */
export function keepFocus(at, make) {
  const focused = at.contains(document.activeElement) ? document.activeElement : null;
  const name = focused?.id || focused?.getAttribute("aria-label");
  make();
  if (!name) return;
  const found = [...at.querySelectorAll("[id], [aria-label]")].find((one) => one.id === name || one.getAttribute("aria-label") === name);
  found?.focus();
  if (focused.type === "search") found?.setSelectionRange(focused.selectionStart, focused.selectionEnd);
}

function columnsOf(searches, rows, { standing }) {
  const errors = [...new Set(searches.flatMap((search) => search.objectives.map((objective) => objective.key)))];
  const settings = [...new Set(searches.flatMap((search) => search.settings))];
  const number = (key, title, of, places = 2) => ({ key, title, of, text: (row) => (of(row) === null || of(row) === undefined ? "-" : of(row).toFixed(places)) });
  const word = (key, title, of, kind = "left") => ({ key, title, of, text: of, class: kind });
  return [
    number("trial", "trial", ({ trial }) => trial.number, 0),
    ...(searches.length > 1 ? [word("search", "search", ({ search }) => search.name)] : []),
    word("state", "state", standing),
    word("note", "note", ({ trial }) => trial.why || (onFront(trial) ? (trial.mark === "front" ? "front" : "front, within noise") : trial.mark) || "", "left wrap"),
    word("method", "method", ({ trial }) => trial.method),
    ...settings.map((key) => ({ key, title: key.split(".").pop(), full: key, of: ({ trial }) => trial.config[key], text: ({ trial }) => shown(trial.config[key]) })),
    number("macs", "MACs G", ({ trial }) => trial.cost.macs),
    number("params", "params M", ({ trial }) => trial.cost.params),
    ...(rows.some(({ trial }) => trial.cost.latency !== null) ? [number("latency", "latency ms", ({ trial }) => trial.cost.latency)] : []),
    ...errors.filter((key) => !["macs", "params", "latency"].includes(key)).flatMap((key) => [
      number(`error ${key}`, `${key} %`, ({ trial }) => trial.error[key]?.value),
      number(`test ${key}`, `test ${key} %`, ({ trial }) => trial.error[key]?.test),
    ]),
    number("rung", "updates", ({ trial }) => trial.rung, 0),
    number("seconds", "min", ({ trial }) => (trial.seconds === null ? null : trial.seconds / 60), 1),
  ];
}

function head(column, clicked) {
  const button = element("button", { type: "button", class: "sort", title: column.full, "aria-label": `sort by ${column.full ?? column.title}`, onclick: clicked }, column.title);
  const sorted = column.key === view.sort ? (view.down ? "descending" : "ascending") : null;
  return element("th", { scope: "col", class: column.class ?? null, "aria-sort": sorted }, button);
}

// Cells without a value come last, whichever way the table is sorted.
function sort(rows, column) {
  const sign = view.down ? -1 : 1;
  const missing = (value) => value === null || value === undefined || value === "";
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const keyed = rows.map((row) => [column.of(row), row]);
  keyed.sort(([a, one], [b, other]) => missing(a) - missing(b) || (missing(a) ? 0 : sign * order(a, b)) || one.trial.number - other.trial.number);
  keyed.forEach(([, row], i) => { rows[i] = row; });
}

const texts = new WeakMap();

// All that a row says, in lower case. It is kept: whoever types a word asks it of every trial at each letter.
function textOf(trial) {
  if (!texts.has(trial)) texts.set(trial, JSON.stringify([trial.number, trial.state, trial.method, trial.mark, trial.why, trial.config]).toLowerCase());
  return texts.get(trial);
}

function rowOf({ search, trial }, columns, actions) {
  const pick = element("input", {
    type: "checkbox", "aria-label": `pick trial ${trial.number} of ${search.name} among all`, checked: actions.isPicked(search.id, trial.number),
    onchange: () => actions.pick(search.id, trial.number),
  });
  const cells = columns.map((column, i) => {
    const text = column.text({ search, trial });
    if (i > 0) return element("td", { class: column.class ?? null }, text);
    const run = element("a", { href: `api/searches/${search.id}/trials/${trial.number}/run`, title: "the trial's run in MLflow" }, text);
    return element("th", { scope: "row" }, run);
  });
  return element("tr", { class: `${trial.state}${actions.within(trial) ? "" : " out"}` }, element("td", {}, pick), ...cells);
}
