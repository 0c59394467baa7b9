// Keeps the page up to date while somebody looks at it.

const SOON_MS = 5000;
const LATE_MS = 30000;

/**
 * Calls `look()` again and again: every few seconds while `busy()`, since a search runs, else twice a minute. A page that
 * nobody sees waits. `complain(error)` hears of failures, after which the next look comes as if nothing had been.
 */
export function follow(look, busy, complain) {
  let timer;
  const next = () => {
    clearTimeout(timer);
    timer = setTimeout(turn, busy() ? SOON_MS : LATE_MS);
  };
  const turn = async () => {
    if (!document.hidden) await look().catch(complain);
    next();
  };
  document.addEventListener("visibilitychange", () => document.hidden || turn());
  next();
}

/** Where a search stands, in a sentence; empty if it has ended as it should. */
export function standing(listed) {
  const ago = listed.heard_ms ? `, the last ${since(listed.heard_ms)} ago` : "";
  const ended = listed.ended === 1 ? "1 trial has" : `${listed.ended} trials have`;
  if (listed.status === "running") return `running: ${ended} ended${ago}`;
  if (listed.status === "interrupted") return `interrupted after ${listed.ended} trials; go on with: raysearch resume ${listed.name}`;
  if (listed.status === "failed") return `failed after ${listed.ended} trials; the reason: raysearch status ${listed.name}`;
  return "";
}

function since(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (seconds < 90) return `${seconds} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
