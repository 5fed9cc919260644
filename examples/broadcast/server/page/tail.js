// The messages of one pattern, live. Where the link breaks they go on behind the last one that came.

import { connect } from "./mangusta.js";
import { $, el, setText } from "./shared/dom.js";
import { clock } from "./shared/format.js";
import { Pane } from "./shared/pane.js";

const longestText = 400; // characters of a message that are shown
const mostRows = 200;

const pane = new Pane($("tail"), $("tail-latest"), mostRows);
const hub = connect("hub", { open: false });
let subscription = listen($("pattern").value);
let wanted = false, count = 0;
let rows = [], frame = 0;

// goOn begins to listen, or goes on after the last message that came.
export function goOn() {
  if (wanted) return;
  wanted = true;
  hub.open();
}

export function stop() {
  wanted = false;
  hub.close();
}

function listen(pattern) {
  return hub.subscribe(pattern, (message) => {
    count++;
    add(row(message));
  });
}

hub.addEventListener("missed", ({ detail }) => add(el("li", { class: "log-break" }, missed(detail))));

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
  let text = typeof data === "string" ? data : data instanceof Uint8Array ? `${data.length} bytes` : JSON.stringify(data);
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
  subscription.close();
  subscription = listen(chosen);
  rows = [];
  pane.clear();
  $("tail-empty").hidden = false;
});
