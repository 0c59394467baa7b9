// Lets one talk to members of the front: the browser itself runs the students, and no sound leaves it.

import { ask, post } from "./ask.js";
import { marked } from "./errors.js";
import { LONGEST_S, RATE_HZ, listen, read } from "./sound.js";
import { element } from "./tables.js";

const MOST_MB = 250; // A browser's WebAssembly has 4 GB at most, and a student needs several times its size.
const at = (id) => document.getElementById(id);
const state = { members: new Map(), busy: false, stop: null, worker: null, asked: 0 };

/** Offers the members of these searches' fronts. Called again, it keeps what was chosen. */
export function offer(searches) {
  const several = searches.length > 1;
  state.members = new Map(searches.flatMap((search) => search.front.map((number) => {
    const trial = search.trials.find((one) => one.number === number);
    const error = trial?.error[search.axes.y];
    const name = `trial ${number}${several ? ` of ${search.name}` : ""}: ${trial?.cost.macs.toPrecision(3)} GMAC, ${error?.value?.toFixed(1)} %`;
    return [`${search.id}:${number}`, { search: search.id, number, name }];
  })));
  at("talk").hidden = !state.members.size;
  const options = [...state.members].map(([key, { name }]) => [key, name]);
  const knee = searches.map((search) => `${search.id}:${search.knee}`).find((key) => state.members.has(key));
  choices(at("talk-to"), options, knee ?? options[0]?.[0]);
  choices(at("talk-beside"), [["", "nobody"], ...options], "");
}

function choices(select, options, preferred) {
  const made = JSON.stringify(options);
  if (select.dataset.made === made) return;
  const chosen = options.some(([key]) => key === select.value) && select.dataset.made ? select.value : preferred;
  select.dataset.made = made;
  select.replaceChildren(...options.map(([key, name]) => element("option", { value: key, selected: key === chosen }, name)));
}

function say(text, bad = false) {
  at("talk-status").textContent = text;
  at("talk-status").classList.toggle("bad", bad);
}

// Starts or ends listening. While one speaks, the students are made ready.
async function speak() {
  if (state.stop) {
    const stop = state.stop;
    state.stop = null;
    at("talk-speak").textContent = "Speak (r)";
    return hear(await stop());
  }
  if (state.busy) return undefined;
  state.stop = await listen(() => speak().catch(complain));
  at("talk-speak").textContent = "Stop (r)";
  say(`Listening, for up to ${LONGEST_S} s ...`);
  return undefined;
}

/** Lets the chosen members read some samples, and shows what they read. */
async function hear(audio) {
  if (!audio.length) throw new Error("Nothing was heard; expected speech.");
  if (state.busy) return;
  state.busy = true;
  try {
    const seconds = audio.length / RATE_HZ;
    const rows = [];
    for (const key of [...new Set([at("talk-to").value, at("talk-beside").value])].filter(Boolean)) {
      const member = state.members.get(key);
      const model = await ready(member);
      say(`Trial ${member.number} listens to ${seconds.toFixed(1)} s ...`);
      rows.push({ member, ...(await recognise(member, model, audio)) });
    }
    at("talk-read").replaceChildren(...rows.map((row, i) => line(row, seconds, i ? rows[0].text : null)));
    say(rows.length > 1 ? "Marks show where the second differs from the first." : "");
  } finally {
    state.busy = false;
  }
}

function line({ member, text, seconds: took }, seconds, first) {
  const words = text.split(" ").filter(Boolean);
  const body = first === null ? [text || "(nothing)"] : marked(first.split(" ").filter(Boolean), words);
  return element("article", {}, element("header", {}, element("strong", {}, member.name),
    ` real-time factor ${(took / seconds).toFixed(3)} (${seconds.toFixed(1)} s in ${took.toFixed(2)} s)`), element("p", { class: "read" }, ...body));
}

// What is known of a member's model, which the server exports if need be.
async function ready({ search, number }) {
  const path = `api/searches/${search}/trials/${number}/model`;
  let model = await ask(path);
  if (!model.ready) {
    say(`Trial ${number} is being exported for the first time, which takes up to a minute ...`);
    model = await post(path, {});
  }
  if (model.layout.unit === "speaker") throw new Error(`Trial ${number} tells speakers apart and reads no words.`);
  if (model.megabytes > MOST_MB) throw new Error(`Trial ${number} has ${model.megabytes.toFixed(0)} MB; a browser takes up to ${MOST_MB} MB.`);
  return model;
}

// Asks the worker, which is started when it is first needed.
function recognise({ search, number }, { layout, version }, audio) {
  if (typeof WebAssembly === "undefined") throw new Error("This browser runs no WebAssembly, which students need.");
  if (audio.length < layout.min_samples) throw new Error(`${audio.length} samples were heard; trial ${number} needs at least ${layout.min_samples}.`);
  state.worker ??= new Worker("assets/recogniser.js", { type: "module" });
  const id = ++state.asked;
  const url = new URL(`api/searches/${search}/trials/${number}/model.onnx?version=${version}`, location.href).href;
  return new Promise((resolve, reject) => {
    const answer = ({ data }) => {
      if (data.id !== id) return;
      state.worker.removeEventListener("message", answer);
      if (data.fault) reject(new Error(`Trial ${number} does not run in this browser: ${data.fault}`));
      else resolve(data);
    };
    state.worker.addEventListener("message", answer);
    state.worker.onerror = () => reject(new Error("This browser cannot start the runtime of the students."));
    state.worker.postMessage({ id, url, layout, audio });
  });
}

const complain = (error) => say(error.message, true);
const hearFile = (file) => file && read(file).then(hear).catch(complain);

/** Makes the panel listen to its button, its key and files. */
export function startTalk() {
  at("talk-speak").addEventListener("click", () => speak().catch(complain));
  at("talk-file").addEventListener("change", () => hearFile(at("talk-file").files[0]));
  at("talk").addEventListener("dragover", (event) => event.preventDefault());
  at("talk").addEventListener("drop", (event) => {
    event.preventDefault();
    hearFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (event.key !== "r" || event.repeat || event.ctrlKey || event.metaKey || event.altKey || typing || at("talk").hidden || document.querySelector("dialog[open]")) return;
    speak().catch(complain);
  });
}
