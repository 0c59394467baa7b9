// Makes tables and lists as elements. Names and settings become text nodes, never markup, so none can inject a script.

import { shown } from "./look.js";

/** Makes an element, as in `element("td", {class: "left"}, "text", child, ...)`. Attributes `on...` are listeners. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const number = (value, places = 2) => (value === null || value === undefined ? "-" : value.toFixed(places));

/** The table of one front. `actions` holds the functions {isPicked, pick, register, whyNot, within}. */
export function frontTable(search, actions) {
  const by = new Map(search.trials.map((trial) => [trial.number, trial]));
  const members = search.front.map((trial) => by.get(trial)).filter(Boolean);
  const settings = search.settings.filter((key) => members.some((trial) => key in trial.config));
  const errors = Object.keys(members[0]?.error ?? {});
  const latency = members.some((trial) => trial.cost.latency !== null);
  const heads = ["trial", "method", ...settings.map((key) => key.split(".").pop()), "MACs G", "params M", ...(latency ? ["latency ms"] : [])];
  const head = element("tr", {}, element("th", { scope: "col" }, "pick"),
    ...heads.map((text, i) => element("th", { scope: "col", class: i < 2 ? "left" : null, title: i >= 2 && i < 2 + settings.length ? settings[i - 2] : null }, text)),
    ...errors.flatMap((key) => [`${title(search, key)}`, "95 % interval", "test"].map((text) => element("th", { scope: "col" }, text))),
    element("th", { scope: "col", class: "left" }, "note"), element("th", { scope: "col" }, "register"));
  const rows = members.map((trial) => element("tr", { class: actions.within(trial) ? null : "out" },
    element("td", {}, element("input", {
      type: "checkbox", "aria-label": `pick trial ${trial.number} of ${search.name}`, onchange: () => actions.pick(search.id, trial.number),
      ...(actions.isPicked(search.id, trial.number) && { checked: true }),
    })),
    element("th", { scope: "row", class: "left" }, String(trial.number)),
    element("td", { class: "left" }, trial.method),
    ...settings.map((key) => element("td", {}, shown(trial.config[key]))),
    element("td", {}, number(trial.cost.macs)), element("td", {}, number(trial.cost.params)),
    ...(latency ? [element("td", {}, number(trial.cost.latency))] : []),
    ...errors.flatMap((key) => {
      const { value, low, high, test } = trial.error[key];
      return [number(value), `${number(low)} - ${number(high)}`, number(test)].map((text) => element("td", {}, text));
    }),
    element("td", { class: "wrap" }, [trial.number === search.knee ? "knee" : "", trial.mark === "front" ? "" : `within noise of a cheaper trial${trial.by === "pairs" ? ", by pairs" : ""}`].filter(Boolean).join(", ")),
    element("td", {}, element("button", { type: "button", "aria-label": `register trial ${trial.number} of ${search.name}`, disabled: Boolean(actions.whyNot(search.id)), title: actions.whyNot(search.id) || null, onclick: () => actions.register(search, trial) }, "Register"))));
  return element("table", {}, element("caption", {}, search.name), element("thead", {}, head), element("tbody", {}, ...rows));
}

const title = (search, key) => search.objectives.find((objective) => objective.key === key)?.title ?? `${key} %`;

/** A table of two trials: the settings in which they differ, and all numbers that were measured of both. */
export function differenceTable(a, b) {
  const [one, two] = [a.trial, b.trial];
  const keys = [...new Set([...Object.keys(one.config), ...Object.keys(two.config)])];
  const settings = keys
    .filter((key) => JSON.stringify(one.config[key]) !== JSON.stringify(two.config[key]))
    .map((key) => [key, shown(one.config[key]), shown(two.config[key]), ""]);
  const numbers = [
    ["MACs G", one.cost.macs, two.cost.macs], ["params M", one.cost.params, two.cost.params], ["latency ms", one.cost.latency, two.cost.latency],
    ...Object.keys(one.error).filter((key) => key in two.error).map((key) => [title(a.search, key), one.error[key].value, two.error[key].value]),
  ].filter(([, first, second]) => first !== null && second !== null);
  const rows = [...settings, ...numbers.map(([name, first, second]) => {
    const change = first ? ` (${(100 * (second / first - 1)).toFixed(1)} %)` : "";
    return [name, number(first), number(second), `${second >= first ? "+" : ""}${number(second - first)}${change}`];
  })];
  const names = [a, b].map(({ search, trial }) => `${search.name} · trial ${trial.number}`);
  const head = element("tr", {}, ...["", ...names, "difference"].map((text, i) => element("th", { scope: "col", class: i ? null : "left" }, text)));
  const body = rows.map(([name, ...cells]) => element("tr", {}, element("th", { scope: "row", class: "left" }, name), ...cells.map((text) => element("td", {}, text))));
  return element("table", {}, element("caption", {}, settings.length ? "Settings that differ, then what was measured" : "Same settings; what was measured"), element("thead", {}, head), element("tbody", {}, ...body));
}

/** One line of the list of searches, with a box to choose it. */
export function searchItem(search, checked, toggled) {
  const parts = [search.status, `${search.ended} trials ended`, `front ${search.front}`, search.objectives.join(" / ")];
  return element("li", {}, element("label", {},
    element("input", { type: "checkbox", value: search.id, onchange: (event) => toggled(search.id, event.target.checked), ...(checked && { checked: true }) }),
    element("strong", {}, search.name),
    element("small", {}, parts.join(" · ")),
    element("small", {}, new Date(search.started_ms).toLocaleString())));
}
