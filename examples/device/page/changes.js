// What has changed in the network.

import { $, el } from "./shared/dom.js";
import { clock } from "./shared/format.js";
import { Pane } from "./shared/pane.js";

const pane = new Pane($("changes"), $("changes-latest"), 100);
let lastSeq = 0, boot = null;

// begin takes a hello's changes: those that were missed while the link was down, or all of a device that has restarted.
export function begin(bootID, changes) {
  if (boot !== bootID) lastSeq = 0;
  boot = bootID;
  add(changes ?? []);
}

export function add(changes) {
  const fresh = changes.filter((c) => c.seq > lastSeq);
  if (fresh.length === 0) return;
  lastSeq = fresh.at(-1).seq;
  $("changes-facts").textContent = "";
  pane.append(fresh.map(({ time, text }) =>
    el("li", {}, el("time", { datetime: new Date(time).toISOString() }, clock(time)), el("span", { class: "text" }, text))));
}
