// Gets speech from the microphone or from a file, as 16 kHz mono samples, which students read.

export const RATE_HZ = 16000;
export const LONGEST_S = 30;

/**
 * Listens to the microphone. Returns a function that ends it and gives the samples. `full()` is called once when
 * LONGEST_S seconds have been heard. Throws an error that says in one line why the microphone is not to be had.
 */
export async function listen(full) {
  if (!navigator.mediaDevices) throw new Error("A browser gives the microphone only to pages of https and of localhost; drop a file instead.");
  let stream;
  try {
    // What makes calls pleasant changes the sound that a student was trained on.
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  } catch (error) {
    throw new Error(error.name === "NotFoundError" ? "This device has no microphone; drop a file instead." : "The microphone was refused; allow it in the browser's settings of this page, or drop a file.");
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule("assets/capture.js");
  const blocks = [];
  let heard = 0;
  const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  capture.port.onmessage = ({ data }) => {
    blocks.push(data);
    heard += data.length;
    if (heard >= LONGEST_S * context.sampleRate && heard - data.length < LONGEST_S * context.sampleRate) full();
  };
  context.createMediaStreamSource(stream).connect(capture);
  return async () => {
    for (const track of stream.getTracks()) track.stop();
    const rate = context.sampleRate;
    await context.close();
    if (!heard) return new Float32Array();
    const whole = new AudioBuffer({ length: heard, sampleRate: rate });
    let at = 0;
    for (const block of blocks) {
      whole.copyToChannel(block, 0, at);
      at += block.length;
    }
    return resampled(whole);
  };
}

/** The samples of an audio file. Throws an error that says in one line that it is none. */
export async function read(file) {
  const context = new OfflineAudioContext(1, 1, RATE_HZ);
  try {
    return (await resampled(await context.decodeAudioData(await file.arrayBuffer()))).subarray(0, LONGEST_S * RATE_HZ);
  } catch {
    throw new Error(`${file.name}: the browser cannot decode it; expected a recording such as WAV, FLAC, MP3 or Opus.`);
  }
}

// One channel at 16 kHz: several are averaged.
async function resampled(buffer) {
  const length = Math.max(1, Math.min(Math.round(buffer.duration * RATE_HZ), LONGEST_S * RATE_HZ));
  const context = new OfflineAudioContext(1, length, RATE_HZ);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0);
}
