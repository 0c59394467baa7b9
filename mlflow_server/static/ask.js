// Asks our own server. All addresses are relative, so that the page works below any prefix.

/** The server's answer as JSON. Throws an error with the server's own reason. */
export async function ask(path, options) {
  const response = await fetch(path, options);
  const text = await response.text();
  if (!response.ok) throw new Error(reason(text) || `${response.status} ${response.statusText}`);
  return JSON.parse(text);
}

/** Sends a change. The token proves that the request comes from this page, and not from a page of another site. */
export function post(path, body) {
  const token = document.querySelector("meta[name=raysearch-token]").content;
  const headers = { "content-type": "application/json", "x-raysearch-token": token };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

function reason(text) {
  try {
    const { reason, message } = JSON.parse(text);
    return reason ?? message;
  } catch {
    return text.slice(0, 300);
  }
}
