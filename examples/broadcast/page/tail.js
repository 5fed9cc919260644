// The messages of one pattern, live. Where the link breaks they go on behind the last one that came.

import { $, el, setText } from "./shared/dom.js";
import { clock } from "./shared/format.js";
import { Link } from "./shared/link.js";
import { Pane } from "./shared/pane.js";

const longestText = 400; // characters of a message that are shown
const mostRows = 200;

const pane = new Pane($("tail"), $("tail-latest"), mostRows);
let pattern = $("pattern").value;
let since = null; // the offset of the last message that came, or the one to begin behind
let newest = null; // the offset that the server is at, as far as the figures tell
let wanted = false, count = 0;
let rows = [], frame = 0;

const link = new Link(() => {
  const query = new URLSearchParams({ topic: pattern });
  if (since !== null) query.set("since", since);
  return `ws?${query}`;
});

// goOn begins to listen, or goes on, where it has not yet. offset is that of the newest message.
export function goOn(offset) {
  newest = offset;
  since ??= offset;
  if (wanted) return;
  wanted = true;
  link.open();
}

export function stop() {
  wanted = false;
  link.close();
}

link.addEventListener("message", ({ detail: doc }) => {
  if (doc.missed !== undefined) {
    if (doc.reset) since = null;
    add(el("li", { class: "log-break" }, missed(doc)));
    return;
  }
  since = doc.offset;
  count++;
  add(row(doc));
});

function missed({ missed, reset }) {
  if (reset) return "the server has restarted: what it knows begins here";
  return missed === 1 ? "1 message is missing here" : `${missed} messages are missing here`;
}

// Rows are put on the page once for each picture of the screen, and no more than fit the pane: messages may come by the thousand.
function add(li) {
  rows.push(li);
  if (rows.length > mostRows) rows.shift();
  frame ||= requestAnimationFrame(show);
}

function show() {
  frame = 0;
  $("tail-empty").hidden = true;
  pane.append(rows);
  rows = [];
  setText($("tail-facts"), `${count.toLocaleString("en")} since this page was opened`);
}

function row({ topic, offset, data }) {
  let text = typeof data === "string" ? data : JSON.stringify(data);
  if (text.length > longestText) text = `${text.slice(0, longestText)}…`;
  const now = Date.now();
  return el("li", { title: `offset ${offset}` }, el("time", { datetime: new Date(now).toISOString() }, clock(now)),
    el("span", { class: "topic", title: topic }, topic), el("span", { class: "text" }, text));
}

// The same rules as the server's, which refuses a WebSocket without a word that a page could read.
function whatIsWrong(p) {
  const levels = p.split("/");
  if (levels.length > 64 || new TextEncoder().encode(p).length > 1024) return "That is too long for a pattern.";
  const wild = (level, i) => level.length > 1 ? /[+#]/.test(level) : level === "#" && i < levels.length - 1;
  if (levels.some(wild)) return "+ stands for a whole level, and # for all levels at the end.";
  return "";
}

$("listen").addEventListener("submit", (e) => {
  e.preventDefault();
  const chosen = $("pattern").value, wrong = whatIsWrong(chosen);
  setText($("listen-note"), wrong);
  $("pattern").setAttribute("aria-invalid", String(wrong !== ""));
  if (wrong) return;
  pattern = chosen;
  since = newest;
  rows = [];
  pane.clear();
  $("tail-empty").hidden = false;
  if (wanted) link.open();
});
