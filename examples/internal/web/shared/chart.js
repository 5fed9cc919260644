// Area charts in SVG over a sliding window of time.

import { el, setText } from "./dom.js";

const svgNS = "http://www.w3.org/2000/svg";
const W = 600, H = 100; // user units; the picture is stretched to its box, line widths are not
const longestGap = 15_000; // ms; figures come every 10 s at least, so a longer silence was a link that was down
const minute = 60_000; // ms
let made = 0;

function shape(tag, attrs) {
  const node = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, value);
  return node;
}

// A Chart draws one or two series of [time, value] points.
//   options.label   what a screen reader calls it
//   options.format  value -> text
//   options.max     fixed top of the scale, or
//   options.floor   the least top of a scale that follows the values
//   options.names   a name for each series
//   options.brief   for a small box: a short line below the picture
export class Chart {
  #box;
  #options;
  #series;
  #svg;
  #readout;
  #scale;
  #cursor;
  #range = { from: 0, to: 60_000, top: 1 };
  #hover = null; // 0…1 across the window

  constructor(box, options) {
    this.#box = box;
    this.#options = options;
    this.#build();
    box.addEventListener("pointermove", (e) => {
      const r = this.#svg.getBoundingClientRect();
      this.#hover = Math.min(1, Math.max(0, (e.clientX - r.left) / r.width));
      this.#showHover();
    });
    box.addEventListener("pointerleave", () => {
      this.#hover = null;
      this.#showHover();
    });
  }

  #build() {
    const id = `fill-${made++}`;
    this.#svg = shape("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img" });
    const defs = shape("defs", {});
    this.#svg.append(defs);
    for (const y of [0.5, H / 2, H - 0.5]) this.#svg.append(shape("line", { class: "grid-line", x1: 0, x2: W, y1: y, y2: y }));
    this.#series = this.#options.names.map((name, i) => {
      const gradient = shape("linearGradient", { id: `${id}-${i}`, x1: 0, x2: 0, y1: 0, y2: 1, class: `fill-${i + 1}` });
      gradient.append(shape("stop", { offset: 0, class: "fill-top" }), shape("stop", { offset: 1, class: "fill-bottom" }));
      defs.append(gradient);
      const area = shape("path", { class: "area", fill: `url(#${id}-${i})` });
      const line = shape("path", { class: `line line-${i + 1}` });
      const dot = shape("path", { class: `end line-${i + 1}` });
      this.#svg.append(area, line, dot);
      return { name, area, line, dot, points: [] };
    });
    this.#cursor = shape("line", { class: "cursor", y1: 0, y2: H, visibility: "hidden" });
    this.#svg.append(this.#cursor);
    this.#scale = el("span", { class: "scale", "aria-hidden": "true" });
    this.#readout = el("p", { class: "readout muted", "aria-hidden": "true" });
    this.#box.replaceChildren(this.#svg, this.#scale, this.#readout);
  }

  // draw shows the points of each series from `from` to `to` (ms), in the order of time; values may be null. Of those before
  // `from` only the last counts, for the line that leads from it.
  draw(series, from, to) {
    this.#series.forEach((s, i) => { s.points = since(series[i], from); });
    const values = this.#series.flatMap((s) => s.points).map((p) => p[1]).filter((v) => v != null);
    this.#box.classList.toggle("empty", values.length === 0);
    const top = this.#options.max ?? niceTop(Math.max(this.#options.floor, ...values));
    this.#range = { from, to, top };
    const x = (t) => ((t - from) / (to - from)) * W;
    const y = (v) => H - 1.5 - (Math.min(v, top) / top) * (H - 4);
    for (const s of this.#series) {
      let line = "", area = "";
      for (const run of runs(s.points)) {
        const path = run.map(([t, v]) => `${x(t).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
        line += `M${path}`;
        area += `M${x(run[0][0]).toFixed(1)} ${H}L${path}L${x(run.at(-1)[0]).toFixed(1)} ${H}Z`;
      }
      s.line.setAttribute("d", line);
      s.area.setAttribute("d", area);
      const last = s.points.at(-1);
      s.dot.setAttribute("d", last?.[1] == null ? "" : `M${x(last[0]).toFixed(1)} ${y(last[1]).toFixed(1)}h0`);
    }
    setText(this.#scale, values.length ? this.#options.format(top).replace(/\.0+(?!\d)/, "") : "");
    this.#describe(values);
    this.#showHover();
  }

  // describe gives the picture in words, for those who do not see it.
  #describe(values) {
    const { label, format } = this.#options;
    const words = this.#series.map((s) => {
      const known = s.points.map((p) => p[1]).filter((v) => v != null);
      if (known.length === 0) return `${s.name} n/a`;
      return `${s.name} from ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
    });
    this.#svg.setAttribute("aria-label", values.length ? `${label}, last ${this.#minutes()} min: ${words.join("; ")}` : `${label}: n/a`);
  }

  #showHover() {
    const { from, to } = this.#range;
    const at = this.#hover == null ? null : from + this.#hover * (to - from);
    const near = at == null ? [] : this.#series.map((s) => nearest(s.points, at)).filter((p) => p?.[1] != null);
    if (near.length === 0) {
      this.#cursor.setAttribute("visibility", "hidden");
      this.#fillReadout(`−${this.#minutes()} min`, this.#summary(), "now");
      return;
    }
    const x = ((near[0][0] - from) / (to - from)) * W;
    this.#cursor.setAttribute("x1", x);
    this.#cursor.setAttribute("x2", x);
    this.#cursor.setAttribute("visibility", "visible");
    const ago = Math.round((to - near[0][0]) / 1000);
    const values = near.map((p, i) => near.length > 1 ? `${this.#series[i].name} ${this.#options.format(p[1])}` : this.#options.format(p[1]));
    this.#fillReadout("", values.join(" · "), ago ? `${ago} s ago` : "now");
  }

  #minutes() {
    return Math.round((this.#range.to - this.#range.from) / 60_000);
  }

  #summary() {
    const { format, brief } = this.#options;
    const known = this.#series.map((s) => s.points.map((p) => p[1]).filter((v) => v != null));
    if (known.some((values) => values.length === 0)) return "";
    const [low, high] = [(v) => format(Math.min(...v)), (v) => format(Math.max(...v))];
    if (known.length > 1) return `max ${known.map(high).join(" and ")}`;
    if (brief) return `${low(known[0])} to ${high(known[0])}`;
    const mean = known[0].reduce((a, b) => a + b) / known[0].length;
    return `min ${low(known[0])} · mean ${format(mean)} · max ${high(known[0])}`;
  }

  #fillReadout(...texts) {
    if (!this.#readout.children.length) texts.forEach(() => this.#readout.append(el("span")));
    texts.forEach((text, i) => setText(this.#readout.children[i], text));
  }
}

// since cuts off what lies before `from`. A line that crosses that edge begins on it.
function since(points, from) {
  const first = points.findIndex((p) => p[0] >= from);
  if (first <= 0) return first < 0 ? [] : points;
  const [before, after] = [points[first - 1], points[first]];
  const kept = points.slice(first);
  if (before[1] != null && after[1] != null && after[0] > from && after[0] - before[0] <= longestGap) {
    const part = (from - before[0]) / (after[0] - before[0]);
    kept.unshift([from, before[1] + part * (after[1] - before[1])]);
  }
  return kept;
}

// runs cuts a series where values are missing.
function runs(points) {
  const out = [];
  let run = [];
  for (const p of points) {
    const broken = p[1] == null || (run.length && p[0] - run.at(-1)[0] > longestGap);
    if (broken && run.length) {
      out.push(run);
      run = [];
    }
    if (p[1] != null) run.push(p);
  }
  if (run.length) out.push(run);
  return out;
}

function nearest(points, t) {
  let best = null;
  for (const p of points) {
    if (p[1] != null && (best == null || Math.abs(p[0] - t) < Math.abs(best[0] - t))) best = p;
  }
  return best;
}

// niceTop rounds up to a small multiple of a power of ten, so that the scale does not change with every value.
function niceTop(v) {
  const p = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 3, 4, 5, 6, 8, 10].find((n) => n * p >= v * 0.999) * p;
}

// drawAll draws the columns of rows, [time, value, …] with the oldest first, that each of charts, {columns, chart}, shows: the last
// minutes that have begun, longest ms at most. Older rows are dropped. A page that is hidden draws nothing.
export function drawAll(charts, rows, longest) {
  if (document.hidden || rows.length === 0) return;
  const to = rows.at(-1)[0];
  while (rows[0][0] < to - longest - longestGap) rows.shift(); // some beyond the edge, so that the line reaches it
  // A page whose figures have just begun shows their first minute, not an empty grid.
  const from = to - Math.min(longest, Math.ceil(Math.max(to - rows[0][0], 1) / minute) * minute);
  for (const { columns, chart } of charts) {
    chart.draw(columns.map((i) => rows.map((row) => [row[0], row[i]])), from, to);
  }
}
