// Registers a trial: asks for a model and an alias, and shows the jobs that do the work. A page that is loaded anew finds
// those that are running, since the server keeps them.

import { ask, post } from "./ask.js";
import { element } from "./tables.js";

const PERIOD_MS = 2000;
const SHOWN_S = 24 * 3600; // Jobs that began longer ago are not shown any more.
const at = (id) => document.getElementById(id);
const known = new Map(); // By search: why it cannot be registered from here, and its jobs.
let page, timer;

/** `given` holds what the page can do: {chosen, complain}. */
export function startRegistering(given) {
  page = given;
  at("register-cancel").addEventListener("click", () => at("register").close());
  for (const id of ["model", "alias"]) at(id).addEventListener("input", () => offerMove(""));
}

/** Why no trial of a search can be registered here; empty if they can. */
export const whyNot = (id) => known.get(id)?.reason ?? "";

/** Asks for the jobs of the chosen searches and shows them, again and again as long as one is running. */
export async function lookAtJobs() {
  clearTimeout(timer);
  const ids = page.chosen();
  const found = await Promise.all(ids.map((id) => ask(`api/searches/${id}/registrations`)));
  ids.forEach((id, i) => known.set(id, found[i]));
  const jobs = found.flatMap((search) => search.jobs).filter((job) => job.began_s > Date.now() / 1000 - SHOWN_S);
  const reasons = found.map((search) => search.reason).filter(Boolean);
  at("registering").replaceChildren(
    ...jobs.map((job) => element("p", { class: job.state === "failed" ? "bad" : null }, ...told(job))),
    ...reasons.map((reason) => element("p", { class: "note" }, `Register is off. ${reason}`)),
  );
  if (jobs.some((job) => job.state === "running")) timer = setTimeout(() => lookAtJobs().catch(page.complain), PERIOD_MS);
}

function told({ order, state, line, version }) {
  const what = `${order.model}@${order.alias}, trial ${order.trial} of ${order.search}`;
  if (state === "running") return [`Registering ${what}: ${line}`];
  if (state === "failed") return [`Not registered: ${what}: ${line}`];
  const address = `../#/models/${encodeURIComponent(order.model)}/versions/${version}`;
  return [`Registered ${order.model} version ${version} as ${order.alias}: `, element("a", { href: address }, line)];
}

/** Opens the dialog for one trial. */
export function register(search, trial) {
  const dialog = at("register");
  at("register-what").textContent = `${search.name}, trial ${trial.number}: ${Number(trial.cost.macs.toPrecision(4))} GMAC, ${trial.method}. It is exported, measured and verified, then registered.`;
  // The search's name, without what MLflow does not allow in the name of a model.
  at("model").value ||= search.name.replace(/[^\w.\- ]/g, "-").replace(/^\W+/, "").slice(0, 100);
  offerMove("");
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    at("register-go").disabled = true;
    try {
      const move = "move" in at("register-go").dataset;
      const order = { trial: trial.number, model: at("model").value, alias: at("alias").value, move };
      await post(`api/searches/${search.id}/register`, order);
      dialog.close();
      await lookAtJobs();
    } catch (error) {
      if (error.answer?.held) offerMove(error.message);
      else at("register-problem").textContent = error.message;
    } finally {
      at("register-go").disabled = false;
    }
  };
  dialog.showModal();
}

// Says that a verified model holds the alias, and lets the same button move it. An empty text takes the offer back.
function offerMove(reason) {
  at("register-problem").textContent = reason;
  at("register-go").textContent = reason ? "Move the alias" : "Register";
  if (reason) at("register-go").dataset.move = "";
  else delete at("register-go").dataset.move;
}
