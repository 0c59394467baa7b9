// Shows the errors of one or two trials, recording by recording: what was said, what each has read, and where they
// differ. What was said and not read is struck through, what was read and not said is underlined.

import { align } from "./alignment.js";
import { ask } from "./ask.js";
import { element } from "./tables.js";

const ROWS = 20;
const SPLITS = { eval: "dev", test: "test" };
const ORDERS = {
  worst: ["most errors first", (row) => Math.max(...row.errors)],
  rate: ["highest error rate first", (row) => Math.max(...row.errors) / Math.max(1, row.length)],
  first: ["the first trial worse", (row) => row.errors[0] - (row.errors[1] ?? 0)],
  second: ["the second trial worse", (row) => (row.errors[1] ?? 0) - row.errors[0]],
};
const view = { split: "eval", order: "worst", shown: "", rows: ROWS };
const player = new Audio();

/** Shows within `at` the errors of `picked`, one or two {search, trial} of one search. */
export async function showErrors(at, picked) {
  at.hidden = !picked.length;
  if (!picked.length) return;
  const { search } = picked[0];
  const error = search.axes.y;
  const trials = picked.map(({ trial }) => trial.number);
  const query = `${trials.map((number) => `trial=${number}`).join("&")}&error=${view.split}/${error}`;
  const now = `${search.id} ${search.version} ${query}`;
  if (now === view.shown) return; // What has been read of the server once does not change.
  view.shown = now;
  view.rows = ROWS;
  const body = at.querySelector(".rows");
  try {
    const { rows } = await ask(`api/searches/${search.id}/errors?${query}`);
    if (now === view.shown) fill(at, search, trials, `${view.split}/${error}`, rows);
  } catch (reason) {
    if (now === view.shown) body.replaceChildren(element("p", { class: "note" }, reason.message));
  }
  controls(at, trials, () => showErrors(at, picked));
}

function controls(at, trials, again) {
  const split = element("select", { id: "errors-split", onchange: (event) => { view.split = event.target.value; again(); } },
    ...Object.entries(SPLITS).map(([key, name]) => element("option", { value: key, selected: key === view.split }, name)));
  const orders = Object.entries(ORDERS).slice(0, trials.length === 2 ? 4 : 2);
  if (!orders.some(([key]) => key === view.order)) view.order = "worst";
  const order = element("select", { id: "errors-order", onchange: (event) => { view.order = event.target.value; view.shown = ""; again(); } },
    ...orders.map(([key, [name]]) => element("option", { value: key, selected: key === view.order }, name)));
  at.querySelector(".filters").replaceChildren(element("label", {}, "Split ", split), element("label", {}, "Order ", order));
}

function fill(at, search, trials, name, rows) {
  const [, worth] = ORDERS[view.order];
  const sorted = rows.map((row) => [worth(row), row]).sort(([a, one], [b, other]) => b - a || one.cut.localeCompare(other.cut)).map(([, row]) => row);
  const wrong = trials.map((_, i) => rows.filter((row) => row.errors[i]).length);
  const note = `${rows.length} recordings; ${trials.map((number, i) => `trial ${number} errs in ${wrong[i]}`).join(", ")}`;
  const more = element("button", { type: "button", onclick: () => { view.rows += 5 * ROWS; fill(at, search, trials, name, rows); } }, "Show more");
  more.hidden = rows.length <= view.rows;
  const texts = rows.some((row) => row.reference);
  at.querySelector(".rows").replaceChildren(
    element("p", { class: "note" }, texts ? note : `${note}. What was said and read was not kept by the version that ran these trials.`),
    ...sorted.slice(0, view.rows).map((row) => article(search, trials, name, row)), more);
}

function article(search, trials, name, row) {
  const counts = trials.map((number, i) => `trial ${number}: ${row.errors[i]} of ${row.length}`).join(", ");
  const play = () => {
    player.src = `api/searches/${search.id}/trials/${trials[0]}/recording?error=${name}&cut=${encodeURIComponent(row.cut)}`;
    player.play().catch(() => { head.append(element("span", { class: "bad" }, " This server cannot read the recording.")); });
  };
  const head = element("header", {}, element("strong", {}, row.cut), ` ${counts} `,
    ...(row.playable ? [element("button", { type: "button", "aria-label": `play ${row.cut}`, onclick: play }, "Play")] : []));
  if (!row.reference) return element("article", {}, head);
  const words = (items) => items.filter((item) => item !== "");
  const said = words(row.reference);
  return element("article", {}, head,
    element("p", {}, element("b", {}, "said"), " ", said.join(" ") || "(nothing)"),
    ...row.hypotheses.map((read, i) => element("p", { class: "read" }, element("b", {}, String(trials[i])), " ", ...(read ? marked(said, words(read)) : ["not kept"]))));
}

/** What was read, with marks where it is not what was said. */
export function marked(said, read) {
  const parts = align(said, read).flatMap((step) => {
    if (step.kind === "equal") return [step.read, " "];
    const gone = step.said === undefined ? [] : [element("del", {}, step.said), " "];
    const put = step.read === undefined ? [] : [element("ins", {}, step.read), " "];
    return [...gone, ...put];
  });
  return parts.length ? parts : ["(nothing)"];
}
