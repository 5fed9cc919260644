// Wires the parts together. What the device sends, by "type":
//   hello   once on each connection: {boot, host, limits, history, log} and the interval
//   sample  see sample.go
//   state   {interval, saved, warning}: somebody has set the interval
//   log     {lines}
//   error   {about, error}: what this page sent was refused
// What the page sends: {"type": "interval", "ms": 500}.

import { $, setText } from "./dom.js";
import { bytes, fixed, interval as intervalWords, join, percent, rate } from "./format.js";
import { Chart } from "./chart.js";
import { Link } from "./link.js";
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

const link = new Link(new URL("ws", location.href.replace(/^http/, "ws")));
let countdown = 0;

function showLink(state, words) {
  $("status").dataset.link = state;
  setText($("status-text"), words);
  document.body.classList.toggle("stale", state === "down");
  control.enable(state === "up");
}

link.addEventListener("up", () => {
  clearInterval(countdown);
  showLink("up", "Live");
  if (!$("banner").hidden) setText($("announce"), "The link to the device is up again.");
  $("banner").hidden = true;
});

link.addEventListener("down", (e) => {
  const at = Date.now() + e.detail.wait;
  const tick = () => {
    const left = Math.max(0, Math.ceil((at - Date.now()) / 1000));
    setText($("banner-text"), left ? `The figures below are old. Next try in ${left} s.` : "Trying…");
  };
  clearInterval(countdown);
  countdown = setInterval(tick, 250);
  tick();
  showLink("down", "Offline");
  if ($("banner").hidden) setText($("announce"), "The link to the device is down. The page keeps trying.");
  $("banner").hidden = false;
});

link.addEventListener("message", (e) => handle[e.detail.type]?.(e.detail));
document.addEventListener("visibilitychange", draw);
$("retry").addEventListener("click", () => link.retryNow());
control.wire((doc) => link.send(doc));

const theme = $("theme"), system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
theme.addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("theme", chosen);
  } catch {
    // Storage is blocked: the choice lasts until the page is left.
  }
  showTheme();
});
system.addEventListener("change", showTheme);
showTheme();

link.open();
