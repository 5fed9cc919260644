// Wires the parts together. The device publishes these topics:
//   hello   to this page alone, each time that it has subscribed: {boot, host, limits, history, log,
//           changes} and the interval
//   sample  see sample.go
//   state   {interval, saved, warning}: somebody has set the interval
//   log     {lines}
//   net     {changes}: what has changed in the network
// The page changes the interval with POST interval, {"ms": 500}. The reply has {error} if the device refuses it.

import { $ } from "./shared/dom.js";
import { fixed, interval as intervalWords, join, percent, rate } from "./shared/format.js";
import { Chart, drawAll } from "./shared/chart.js";
import { showLink } from "./shared/frame.js";
import { connect } from "./mangusta.js";
import * as control from "./control.js";
import * as changes from "./changes.js";
import * as log from "./log.js";
import * as view from "./view.js";

const longest = 5 * 60_000; // ms that the charts show

// Rows of [time, cpu, memory, load, rx, tx, temperature], as in the device's history.
let rows = [];

const text = (format) => (v) => join(format(v));
const charts = [
  { columns: [1], chart: new Chart($("cpu-chart"), { label: "CPU", names: ["use"], format: text(percent), max: 100 }) },
  { columns: [2], chart: new Chart($("memory-chart"), { label: "Memory", names: ["use"], format: text(percent), max: 100 }) },
  { columns: [4, 5], chart: new Chart($("traffic-chart"), { label: "Network", names: ["received", "sent"], format: text(rate), floor: 1000 }) },
  { columns: [3], chart: new Chart($("load-chart"), { label: "Load", names: ["load"], format: text((v) => fixed(v, 2)), floor: 1, brief: true }) },
  { columns: [6], chart: new Chart($("temp-chart"), { label: "Temperature", names: ["hottest"], format: text((v) => fixed(v, 1, "°C")), floor: 50, brief: true }) },
];

function remember(s) {
  const last = rows.at(-1);
  if (last && s.time < last[0]) rows = rows.filter((row) => row[0] < s.time); // the device's clock was set back
  if (last && s.time === last[0]) return;
  const hottest = s.sensors ? Math.max(...s.sensors.map((x) => x.celsius)) : null;
  rows.push([s.time, s.cpu?.total, s.memory && (100 * s.memory.used) / s.memory.total, s.load?.[0], s.traffic?.rx, s.traffic?.tx, hottest]);
}

function draw() { drawAll(charts, rows, longest); }

const handle = {
  hello(doc) {
    view.showHost(doc.host);
    control.limits(doc.limits);
    control.set(doc.interval);
    rows = doc.history;
    log.begin(doc.boot, doc.log);
    changes.begin(doc.boot, doc.changes);
    draw();
  },
  sample(doc) {
    view.showSample(doc);
    remember(doc);
    draw();
  },
  state(doc) {
    control.set(doc.interval);
    control.say(doc.warning || `Now ${intervalWords(doc.interval)}, saved on the device.`, Boolean(doc.warning));
  },
  log: (doc) => log.add(doc.lines),
  net: (doc) => changes.add(doc.changes),
};

const link = connect("hub", { silence: 4_000, answer: 4_000 });
// Messages before hello are dropped, since hello has them: with them the log would believe that it
// has all earlier lines too.
let greeted = false;
link.addEventListener("up", () => { greeted = false; });
for (const topic of ["hello", "sample", "state", "net", "log"]) { // the device says hello at the last one
  link.subscribe(topic, ({ data }) => {
    greeted ||= topic === "hello";
    if (greeted) handle[topic](data);
  });
}
showLink(link, "the device", control.enable);

// Two choices must reach the device in their order: each waits for the reply to the one before.
let asking = Promise.resolve();
control.wire((ms) => {
  if (!link.isUp) return false;
  asking = asking.then(() => ask(ms));
  return true;
});

async function ask(ms) {
  try {
    const reply = await fetch("interval", { method: "POST", body: JSON.stringify({ ms }), signal: AbortSignal.timeout(8_000) });
    if (!reply.ok) control.refused((await reply.json()).error);
  } catch {
    control.refused("There was no answer: the device may have it or not.");
  }
}

document.addEventListener("visibilitychange", draw);
