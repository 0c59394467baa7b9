// Runs beside the sound card: hands on each block of what the microphone hears, sample for sample.

registerProcessor("capture", class extends AudioWorkletProcessor {
  process([[channel]]) {
    if (channel) this.port.postMessage(channel.slice());
    return true;
  }
});
