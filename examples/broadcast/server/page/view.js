// From the figures to the page.

import { $, el, keyed, setBig, setText } from "./shared/dom.js";
import { bytes, clock, count, duration, fixed, join, perSecond } from "./shared/format.js";
import { Chart, drawAll } from "./shared/chart.js";

const longest = 5 * 60_000; // ms that the charts show

const whole = (v) => join(count(v)), rate = (v) => join(perSecond(v));
const charts = [
  { columns: [1], chart: new Chart($("published-chart"), { label: "Messages published", names: ["published"], format: rate, floor: 1 }) },
  { columns: [2, 3], chart: new Chart($("delivered-chart"), { label: "Messages delivered", names: ["delivered", "skipped"], format: rate, floor: 1 }) },
  { columns: [4], chart: new Chart($("subscribers-chart"), { label: "Subscribers", names: ["subscribers"], format: whole, floor: 1 }) },
];

let last = null; // figures
let rows = []; // of [time, published, delivered, skipped, subscribers]

// growth returns how fast a figure grows, per second; null when that is not known.
function growth(now, was, of) {
  const seconds = was && (now.time - was.time) / 1000;
  if (!seconds || seconds <= 0 || now.uptime < was.uptime) return null;
  return (of(now) - of(was)) / seconds;
}

export function show(f) {
  const per = (of) => growth(f, last, of);
  const published = per((x) => x.hub.published), delivered = per((x) => x.hub.delivered), skipped = per((x) => x.hub.skipped);
  const n = f.connections.websocket + f.connections.events;

  setText($("settings"), settings(f));
  setBig($("published-value"), perSecond(published));
  setText($("published-facts"), `${whole(f.hub.published)} in all`);
  setBig($("delivered-value"), perSecond(delivered));
  setBig($("skipped-value"), perSecond(skipped));
  setBig($("subscribers-value"), count(n));
  setText($("subscribers-facts"), `${whole(f.connections.websocket)} WebSocket · ${whole(f.connections.events)} events · ${whole(f.connections.slow)} slow`);
  setText($("updated"), `As of ${clock(f.time)}`);
  showTopics(f);
  showHub(f.hub, per((x) => x.hub.fan_out));
  showMore(f);
  showSlow(f);

  if (rows.length && f.time <= rows.at(-1)[0]) rows = []; // the server's clock was set back
  rows.push([f.time, published, delivered, skipped, n]);
  last = f;
  draw();
}

export function draw() { drawAll(charts, rows, longest); }

const policies = {
  skip: "new messages are skipped", oldest: "the oldest go", latest: "only the latest of each topic stays", close: "the connection is closed",
};

function settings({ settings: s, uptime }) {
  return `up\u00a0${duration(uptime)} · keeps ${whole(s.history)} of each topic · over ${join(bytes(s.limit))} ${policies[s.policy]}`;
}

function showTopics(f) {
  const before = new Map(last?.topics.map((t) => [t.topic, t]));
  const total = f.hub.topics, shown = f.topics.length;
  setText($("topics-facts"), total > shown ? `the ${shown} with the newest messages, of ${whole(total)}` : whole(total));
  $("topics-empty").hidden = shown > 0;
  const list = f.topics.toSorted((a, b) => (a.topic < b.topic ? -1 : 1));
  const cell = (label) => el("td", { role: "cell", "data-label": label, class: "num" });
  keyed($("topics"), list, (t) => t.topic,
    () => el("tr", { role: "row" }, el("th", { role: "rowheader", scope: "row" }),
      ...["Rate", "Published", "Subscribers", "Skipped", "Kept", "Last offset"].map(cell)),
    (row, t) => {
      const was = before.get(t.topic);
      // A topic that was not there before has been published to since; one that was merely not listed must not look like that.
      const known = was ?? (last && last.hub.topics === last.topics.length ? { published: 0 } : null);
      const speed = known && growth(f, last, (x) => (x === f ? t : known).published);
      fill(row, [t.topic, join(perSecond(speed)), whole(t.published), whole(t.subscribers), whole(t.skipped),
        f.settings.history ? `${whole(t.kept)} · ${join(bytes(t.kept_bytes))}` : "0", String(t.offset)]);
    });
}

function showHub(h, busy) {
  setText($("hub-facts"), `offset ${h.offset}`);
  const facts = [
    ["Subscriptions", count(h.subscriptions)],
    ["Delivered", count(h.delivered)],
    ["From history", count(h.replayed)],
    ["Skipped", count(h.skipped)],
    ["Lost at the end", count(h.lost)],
    ["Disconnected", count(h.disconnected)],
    ["Refused", count(h.refused)],
    ["Queued", count(h.queued)],
    ["Kept", count(h.kept)],
    ["Kept data", bytes(h.kept_bytes)],
    ["Sent data", bytes(h.bytes)],
    ["Distributing", fixed(busy == null ? null : Math.min(100, 100 * busy), 1, "%")],
  ];
  keyed($("hub"), facts, ([name]) => name,
    ([name]) => el("div", {}, el("dt", {}, name), el("dd")),
    (row, [, q]) => setBig(row.lastElementChild, q));
}

// showMore shows the figures that the program has beside those of the hub, such as those of an engine.
function showMore(f) {
  $("more-card").hidden = !f.more?.length;
  setText($("more-title"), f.more_title || "More");
  keyed($("more"), f.more ?? [], ({ name }) => name,
    ({ name }) => el("div", {}, el("dt", {}, name), el("dd")),
    (row, { value, bad }) => {
      row.lastElementChild.classList.toggle("bad", bad === true);
      setText(row.lastElementChild, value);
    });
}

function showSlow(f) {
  const list = f.subscribers.filter((s) => s.slow || s.skipped > 0);
  setText($("slow-facts"), list.length ? `${f.connections.slow} wait now` : "");
  $("slow-empty").hidden = list.length > 0;
  $("slow").parentElement.hidden = list.length === 0;
  const cell = (label, cls) => el("td", { role: "cell", "data-label": label, class: cls });
  keyed($("slow"), list, (s) => s.id,
    () => el("tr", { role: "row" }, el("th", { role: "rowheader", scope: "row" }), cell("Kind", ""), cell("Patterns", "mono patterns"),
      cell("Waiting", "num"), cell("Skipped", "num"), cell("Delivered", "num")),
    (row, s) => {
      row.classList.toggle("slow", s.slow);
      fill(row, [s.address || "unix socket", s.kind === "events" ? "events" : "WebSocket", s.patterns.join(", "),
        `${whole(s.waiting)} · ${join(bytes(s.waiting_bytes))}`, whole(s.skipped), whole(s.delivered)]);
    });
}

function fill(row, texts) {
  texts.forEach((text, i) => setText(row.children[i], text));
}
