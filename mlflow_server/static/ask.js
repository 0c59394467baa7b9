// Asks our own server. All addresses are relative, so that the page works below any prefix.

/** The server's answer as JSON. Throws an error with the server's own reason, and with all of its answer as `answer`. */
export async function ask(path, options) {
  const response = await fetch(path, options);
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  const answer = parsed(text);
  throw Object.assign(new Error((answer.reason ?? answer.message) || `${response.status} ${response.statusText}`), { answer });
}

/** Sends a change. The token proves that the request comes from this page, and not from a page of another site. */
export function post(path, body) {
  const token = document.querySelector("meta[name=raysearch-token]").content;
  const headers = { "content-type": "application/json", "x-raysearch-token": token };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return { reason: text.slice(0, 300) };
  }
}
