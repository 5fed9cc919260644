// The log pane: follows the newest line until the reader scrolls up.

import { $, el, setText } from "./dom.js";
import { clock } from "./format.js";

const maxLines = 200;
const pane = $("log"), latest = $("log-latest");
let lastSeq = 0, boot = null, following = true, unseen = 0;

// begin takes a hello's lines: what was missed while the link was down, or the first lines of a device that restarted.
export function begin(bootID, lines) {
  if (boot !== null && boot !== bootID) {
    lastSeq = 0;
    append([el("li", { class: "log-break" }, "the device restarted")]);
  }
  boot = bootID;
  add(lines);
}

export function add(lines) {
  const fresh = lines.filter((line) => line.seq > lastSeq);
  if (fresh.length === 0) return;
  lastSeq = fresh.at(-1).seq;
  append(fresh.map(row));
}

function row({ time, level, text }) {
  const when = el("time", { datetime: new Date(time).toISOString() }, clock(time));
  return el("li", { "data-level": level }, when, el("span", { class: "level" }, level), el("span", { class: "text" }, text));
}

function append(rows) {
  pane.append(...rows);
  while (pane.children.length > maxLines) pane.firstElementChild.remove();
  if (following) {
    pane.scrollTop = pane.scrollHeight;
    return;
  }
  unseen += rows.length;
  setText(latest, unseen === 1 ? "1 new line ↓" : `${unseen} new lines ↓`);
}

function follow() {
  following = true;
  unseen = 0;
  latest.hidden = true;
  pane.scrollTop = pane.scrollHeight;
}

pane.addEventListener("scroll", () => {
  const atEnd = pane.scrollHeight - pane.clientHeight - pane.scrollTop < 8;
  if (atEnd === following) return;
  if (atEnd) {
    follow();
    return;
  }
  following = false;
  setText(latest, "Newest lines ↓");
  latest.hidden = false;
});
latest.addEventListener("click", () => {
  follow();
  pane.focus();
});
