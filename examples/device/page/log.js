// The log pane.

import { $, el } from "./shared/dom.js";
import { clock } from "./shared/format.js";
import { Pane } from "./shared/pane.js";

const pane = new Pane($("log"), $("log-latest"), 200);
let lastSeq = 0, boot = null;

// begin takes a hello's lines: what was missed while the link was down, or the first lines of a device that restarted.
export function begin(bootID, lines) {
  if (boot !== null && boot !== bootID) {
    lastSeq = 0;
    pane.append([el("li", { class: "log-break" }, "the device restarted")]);
  }
  boot = bootID;
  add(lines);
}

export function add(lines) {
  const fresh = lines.filter((line) => line.seq > lastSeq);
  if (fresh.length === 0) return;
  lastSeq = fresh.at(-1).seq;
  pane.append(fresh.map(row));
}

function row({ time, level, text }) {
  const when = el("time", { datetime: new Date(time).toISOString() }, clock(time));
  return el("li", { "data-level": level }, when, el("span", { class: "level" }, level), el("span", { class: "text" }, text));
}
