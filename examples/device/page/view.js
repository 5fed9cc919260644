// From a sample to the page. What is null in a sample shows as "n/a".

import { $, el, keyed, setBig, setText } from "./shared/dom.js";
import { bytes, clock, count, duration, fixed, join, percent, rate } from "./shared/format.js";

let kernel = "", cores = 0;
let busy = []; // [time, %] of the processors, of the last half minute

// Where a figure begins to be high, and where it is wrong: as parts of what there is, load as processes for each core.
const limits = { cpu: [0.8, 0.95], load: [1, 2], disk: [0.8, 0.95], celsius: [75, 90] };

const level = (value, [high, wrong]) => value == null || value < high ? "" : value < wrong ? "warn" : "bad";

// mark colours a large figure, and says in a word why: colour alone is no word.
const mark = (node, value, bounds) => { node.dataset.state = level(value, bounds); };

export function showHost(host) {
  kernel = [host.model, [host.os === "linux" ? "Linux" : host.os, host.kernel].filter(Boolean).join(" "), host.arch]
    .filter(Boolean).join(" · ");
  setText($("host"), host.name || "Device");
  document.title = `${host.name || "Device"} · dashboard`;
}

export function showSample(s) {
  setText($("host-facts"), `${kernel} · up\u00a0${duration(s.uptime)}`);
  setText($("updated"), `Sampled at ${clock(s.time)}`);
  showCPU(s.cpu, s.time);
  showMemory(s.memory);
  setBig($("rx-value"), rate(s.traffic?.rx));
  setBig($("tx-value"), rate(s.traffic?.tx));
  setBig($("load-value"), fixed(s.load?.[0], 2));
  mark($("load-value"), cores && s.load ? s.load[0] / cores : null, limits.load);
  setText($("load-facts"), s.load ? `5 min ${s.load[1].toFixed(2)} · 15 min ${s.load[2].toFixed(2)}` : "");
  showSensors(s.sensors);
  showDisks(s.disks);
  showLoop(s.loop, s.process, s.clock);
  showInterfaces(s.interfaces);
}

function showCPU(cpu, time) {
  setBig($("cpu-value"), percent(cpu?.total));
  busy = busy.filter(([t]) => t <= time && t > time - 30_000);
  if (cpu?.total != null) busy.push([time, cpu.total / 100]);
  // A moment of work is what processors are for.
  mark($("cpu-value"), busy.length ? busy.reduce((sum, [, v]) => sum + v, 0) / busy.length : null, limits.cpu);
  cores = cpu?.cores?.length ?? 0;
  const word = cores ? `${cores} core${cores === 1 ? "" : "s"}` : "";
  setText($("cpu-facts"), word);
  const busiest = Math.max(...(cpu?.cores ?? []).map((c) => c.used ?? 0));
  setText($("cores-facts"), cores ? `busiest ${join(percent(busiest))}` : "");
  $("cores").classList.toggle("few", cores > 0 && cores <= 4);
  bars($("cores"), cpu?.cores, (c) => c.id, (c) => ({
    label: `Core ${c.id}`, portion: c.used == null ? null : c.used / 100, text: join(percent(c.used)),
    calm: true, // a core is there to be used
  }));
}

function showMemory(m) {
  setBig($("memory-value"), percent(m && (100 * m.used) / m.total));
  const swap = m?.swap_total ? ` · swap ${join(bytes(m.swap_used))}` : "";
  setText($("memory-facts"), m ? `${join(bytes(m.used))} of ${join(bytes(m.total))}${swap}` : "");
}

function showSensors(sensors) {
  const hottest = sensors?.reduce((a, b) => (b.celsius > a.celsius ? b : a));
  setBig($("temp-value"), fixed(hottest?.celsius, 1, "°C"));
  mark($("temp-value"), hottest?.celsius, limits.celsius);
  setText($("temp-facts"), hottest?.name ?? "no sensor");
}

function showDisks(disks) {
  const free = disks?.find((d) => !d.ro) ?? disks?.[0];
  setText($("disk-facts"), free ? `${join(bytes(free.free))} free` : "");
  bars($("disks"), disks, (d) => d.path, (d) => ({
    // As df has it: what only root may use is not there for anybody else.
    label: d.path, portion: d.used / (d.used + d.free), text: `${join(bytes(d.used))} of ${join(bytes(d.used + d.free))}`,
    calm: d.ro, // a read-only image is full by nature
    title: `${d.fs}${d.ro ? ", read-only" : ""}`,
  }));
}

// bars fills a list with labelled bars; describe(item) gives {label, portion 0…1 or null, text}.
function bars(list, items, key, describe) {
  list.classList.toggle("na", !items);
  if (!items) {
    list.replaceChildren(el("li", {}, "n/a"));
    return;
  }
  keyed(list, items, key, () => {
    const fill = el("span", { class: "bar-fill" });
    const bar = el("span", { class: "bar", role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
    return el("li", {}, el("span", { class: "bar-label" }), el("span", { class: "bar-text" }), bar);
  }, (li, item) => {
    const { label, portion, text, calm, title } = describe(item);
    const bar = li.querySelector(".bar");
    setText(li.querySelector(".bar-label"), label);
    setText(li.querySelector(".bar-text"), text);
    const value = Math.min(1, Math.max(0, portion ?? 0));
    bar.setAttribute("aria-label", label);
    bar.setAttribute("aria-valuenow", Math.round(value * 100));
    bar.setAttribute("aria-valuetext", text);
    bar.dataset.state = calm ? "" : level(value, limits.disk);
    bar.firstElementChild.style.transform = `translateX(${100 * value - 100}%)`;
    if (title) li.title = title;
  });
}

function showLoop(loop, proc, ntp) {
  setText($("loop-facts"), [loop?.poller, proc && `pid ${proc.pid}`].filter(Boolean).join(" · "));
  const per = (v) => count(v, "/s");
  const rows = [
    ["Open pages", count(loop?.pages)],
    ["Connections", count(loop?.connections)],
    ["Accepted", count(loop?.accepts)],
    ["Loop turns", per(loop?.turn_rate)],
    ["Events", per(loop?.event_rate)],
    ["In", rate(loop?.in_rate)],
    ["Out", rate(loop?.out_rate)],
    ["Sent in all", bytes(loop?.out)],
    ["Memory (RSS)", bytes(proc?.rss)],
    ["CPU", percent(proc?.cpu)],
    ["Goroutines", count(proc?.goroutines)],
    ["Descriptors", count(proc?.fds)],
    ...(ntp ? [["Clock offset", fixed(ntp.offset, 1, "ms")]] : []),
  ];
  keyed($("loop"), rows, ([name]) => name,
    ([name]) => el("div", {}, el("dt", {}, name), el("dd")),
    (row, [, q]) => setBig(row.lastElementChild, q));
}

function showInterfaces(list) {
  const body = $("nics");
  setText($("nics-facts"), list ? `${list.filter(isUp).length} of ${list.length} up` : "");
  if (!list) {
    body.replaceChildren(el("tr", { role: "row" }, el("td", { role: "cell", colspan: "7", class: "na" }, "n/a")));
    return;
  }
  keyed(body, list, (i) => i.name, makeInterface, fillInterface);
}

const isUp = (i) => i.flags?.includes("up") ?? false;

function makeInterface() {
  const cell = (label, cls = "") => el("td", { role: "cell", "data-label": label, class: cls });
  return el("tr", { role: "row" },
    el("th", { role: "rowheader", scope: "row" }, el("span", { class: "dot" }), el("span")),
    cell("Addresses", "addresses"), cell("MAC", "mono"), cell("MTU", "num"), cell("Flags", "flags"),
    cell("Received", "num"), cell("Sent", "num"));
}

function fillInterface(row, i) {
  const [name, addresses, mac, mtu, flags, rx, tx] = row.children;
  row.classList.toggle("off", !isUp(i));
  setText(name.lastElementChild, i.name);
  lines(addresses, i.addresses?.length ? i.addresses : [i.addresses ? "none" : "n/a"]);
  setText(mac, i.mac || (i.flags ? "none" : "n/a"));
  setText(mtu, i.mtu ? String(i.mtu) : "n/a");
  setText(flags, i.flags?.join(", ") ?? "n/a");
  lines(rx, [join(rate(i.rx_rate)), `${join(bytes(i.rx))} in all`]);
  const trouble = (i.errors ?? 0) + (i.drops ?? 0);
  lines(tx, [join(rate(i.tx_rate)), `${join(bytes(i.tx))} in all`]);
  row.title = trouble ? `${i.errors} errors, ${i.drops} drops` : "";
}

// lines shows each text on a line of its own.
function lines(cell, texts) {
  keyed(cell, texts.map((text, n) => ({ text, n })), (l) => l.n, () => el("span", { class: "cell-line" }), (span, l) => setText(span, l.text));
}
