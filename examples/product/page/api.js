// Requests to the device.

import { t, told } from "./words.js";

// A Failure is a reply that says no; its status is 0 if there was no reply. doc is its document; of that, fields are the errors of
// single settings, {path: {error, code}}.
export class Failure extends Error {
  constructor(doc, status = 0) {
    super(told(doc.code, doc.error ?? doc.title ?? t("refused", { status })));
    this.status = status;
    this.code = doc.code;
    this.fields = Object.fromEntries((doc.errors ?? []).map((f) => [f.path, f]));
  }
}

const patience = 30_000; // ms that a reply may take

const changes = new Set(); // requests that may change the session

// settled waits until none is under way: the device ends the links of a session before it replies with the next one.
export const settled = () => Promise.allSettled(changes);

// ask sends a request, and returns the reply, which is a good one. body is sent as JSON, raw as it is. patience: 0 has
// no end. A request with keepalive goes on after the page has been closed.
export async function ask(method, path, body, { headers = {}, raw, patience: most = patience, keepalive = false } = {}) {
  const init = { method, headers, body: raw, keepalive };
  if (most) init.signal = AbortSignal.timeout(most);
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const reply = fetch(path, init);
  if (method !== "GET" && path.startsWith("/owner/")) {
    changes.add(reply);
    reply.catch(() => {}).then(() => changes.delete(reply));
  }
  let r;
  try {
    r = await reply;
  } catch {
    throw new Failure({ error: t("no.reply") });
  }
  if (!r.ok) {
    throw new Failure(await json(r).catch(() => ({})), r.status);
  }
  return r;
}

// rest is ask, and returns the document of the reply.
export const rest = async (...request) => json(await ask(...request));

async function json(r) {
  const text = await r.text();
  return text && (r.headers.get("Content-Type") ?? "").includes("json") ? JSON.parse(text) : {};
}
