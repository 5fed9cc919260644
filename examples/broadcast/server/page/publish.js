// The form that publishes.

import { $, setText } from "./shared/dom.js";

const form = $("publish"), note = $("publish-note"), button = $("send");
let up = false, sending = false;

export function enable(on) {
  up = on;
  button.disabled = !up || sending;
}

function say(text, bad) {
  note.classList.toggle("bad", bad);
  setText(note, text);
}

async function send() {
  const headers = { "Content-Type": "text/plain; charset=utf-8" };
  const reply = await fetch(`publish/${encodeURIComponent($("topic").value)}`, { method: "POST", headers, body: $("message").value });
  const doc = await reply.json();
  if (!reply.ok) throw new Error(doc.error);
  const n = doc.subscribers;
  return `Published to ${n} subscription${n === 1 ? "" : "s"}, with offset ${doc.offset}.`;
}

form.addEventListener("submit", async (e) => {
  e.preventDefault();
  if (!up || sending) return;
  sending = true;
  enable(up);
  try {
    say(await send(), false);
  } catch (err) {
    say(`Not published: ${err.message}`, true);
  }
  sending = false;
  enable(up);
});

// Ctrl+Enter in the message publishes, as in many an editor.
$("message").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) form.requestSubmit();
});
