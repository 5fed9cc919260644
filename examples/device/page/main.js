// Wires the parts together. What the device sends, by "type":
//   hello   once on each connection: {boot, host, limits, history, log} and the interval
//   sample  see sample.go
//   state   {interval, saved, warning}: somebody has set the interval
//   log     {lines}
//   error   {about, error}: what this page sent was refused
// What the page sends: {"type": "interval", "ms": 500}.

import { $ } from "./shared/dom.js";
import { fixed, interval as intervalWords, join, percent, rate } from "./shared/format.js";
import { Chart } from "./shared/chart.js";
import { showLink } from "./shared/frame.js";
import { Link } from "./shared/link.js";
import * as control from "./control.js";
import * as log from "./log.js";
import * as view from "./view.js";

const minute = 60_000, longest = 5 * minute; // ms that the charts show

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

function draw() {
  if (document.hidden || rows.length === 0) return;
  const to = rows.at(-1)[0];
  while (rows[0][0] < to - longest - 15_000) rows.shift(); // some beyond the edge, so that the line reaches it
  // A device that has just started shows its first minute, not an empty grid.
  const from = to - Math.min(longest, Math.ceil(Math.max(to - rows[0][0], 1) / minute) * minute);
  for (const { columns, chart } of charts) {
    chart.draw(columns.map((i) => rows.map((row) => [row[0], row[i]])), from, to);
  }
}

const handle = {
  hello(doc) {
    view.showHost(doc.host);
    control.limits(doc.limits);
    control.set(doc.interval);
    rows = doc.history;
    log.begin(doc.boot, doc.log);
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
  error: (doc) => control.refused(doc.error),
};

const patience = 5_000; // ms, beyond three sample intervals
const link = new Link(() => "ws", 3_000 + patience);
showLink(link, "the device", control.enable);
link.addEventListener("message", (e) => {
  if (e.detail.interval) link.patience = 3 * e.detail.interval + patience;
  handle[e.detail.type]?.(e.detail);
});
document.addEventListener("visibilitychange", draw);
control.wire((doc) => link.send(doc));
link.open();
