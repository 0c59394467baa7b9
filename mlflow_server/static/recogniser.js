// A worker that runs students, so that the page goes on while one listens. It takes {id, url, layout, audio} with audio at
// 16 kHz, and answers {id, text, seconds} with the seconds that the student took, or {id, fault}.

import * as ort from "./vendor/ort.wasm.bundle.min.mjs";
import { decode } from "./decoding.js";

// Several threads need memory that is shared between them, which browsers allow to few pages. One thread runs everywhere.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("vendor/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.logLevel = "error";

const MOST_KEPT = 3;
const sessions = new Map();

onmessage = async ({ data: { id, url, layout, audio } }) => {
  try {
    const session = await load(url, layout);
    const start = performance.now();
    const { dims, data } = await run(session, audio);
    postMessage({ id, text: decode(data, dims, layout), seconds: (performance.now() - start) / 1000 });
  } catch (error) {
    postMessage({ id, fault: String(error.message ?? error).split("\n")[0].slice(0, 200) });
  }
};

// A student that has been loaded stays, as long as there are few.
async function load(url, layout) {
  if (!sessions.has(url)) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`the student is not served (${response.status})`);
    const session = await ort.InferenceSession.create(new Uint8Array(await response.arrayBuffer()), { executionProviders: ["wasm"] });
    // The first run makes room for what all later ones use, so it would take longer than they do.
    await run(session, new Float32Array(Math.max(layout.min_samples, 16000)));
    sessions.set(url, session);
    for (const old of [...sessions.keys()].slice(0, -MOST_KEPT)) {
      await sessions.get(old).release();
      sessions.delete(old);
    }
  }
  return sessions.get(url);
}

async function run(session, audio) {
  const found = await session.run({
    audio: new ort.Tensor("float32", audio, [1, audio.length]),
    samples: new ort.Tensor("int64", BigInt64Array.of(BigInt(audio.length)), [1]),
  });
  return found[session.outputNames[0]];
}
