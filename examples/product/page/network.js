// The interfaces, the routes and the name servers, as they are now.

import { el, keyed, setText } from "./shared/dom.js";
import { follow } from "./live.js";
import { empty, facts, head } from "./ui.js";
import { number, size, t } from "./words.js";

const columns = () => [t("route.to"), t("route.by"), t("interface"), t("metric")];

export function show(section) {
  const cards = el("div", { class: "grid", id: "interfaces" }, el("p", { class: "card full waiting", "aria-busy": "true" }, t("waiting")));
  const routes = el("tbody", {}), dns = el("ul", { class: "rows", id: "dns" }), more = el("p", { class: "note muted" });
  section.replaceChildren(cards, el("div", { class: "grid" },
    el("article", { class: "card two-thirds" }, el("h2", { id: "routes-title" }, t("routes")),
      el("table", { class: "table", id: "routes", role: "table", "aria-labelledby": "routes-title" },
        el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...columns().map((text) => el("th", { scope: "col", role: "columnheader" }, text)))),
        routes), more),
    el("article", { class: "card third" }, el("h2", {}, t("dns")), dns)));
  let last = null;
  return follow("network", (s) => {
    cards.querySelector(".waiting")?.remove();
    const now = performance.now();
    const speeds = new Map(s.interfaces.map((i) => [i.index, rates(last, i, now)]));
    last = { at: now, interfaces: s.interfaces };
    keyed(cards, s.interfaces.toSorted((a, b) => order(a) - order(b) || a.index - b.index), (i) => i.index, () => el("article", { class: "card half" }), (card, i) => update(card, i, speeds.get(i.index)));
    routes.replaceChildren(...s.routes.map(route));
    setText(more, s.more_routes ? t("routes.more", { n: number(s.more_routes) }) : "");
    dns.replaceChildren(...(s.dns.length ? s.dns.map((a) => el("li", { translate: "no" }, a)) : [empty(t("none"))]));
  });
}

// rates returns the bytes per second since the message before; null if it has no such interface.
function rates(last, i, now) {
  const before = last?.interfaces.find((b) => b.index === i.index);
  if (!before) return null;
  const seconds = Math.max(0.1, (now - last.at) / 1000), per = (name) => Math.max(0, i.counters[name] - before.counters[name]) / seconds;
  return { received: per("received_bytes"), sent: per("sent_bytes") };
}

// order puts what works first, and the loopback last.
const order = (i) => i.loopback ? 3 : i.running ? 0 : i.up ? 1 : 2;

const both = (total, rate) => rate === undefined ? size(total) : `${size(total)} · ${size(rate, "-per-second")}`;

function update(card, i, rate) {
  const state = i.running ? "good" : i.up ? "warn" : "off";
  const errors = i.counters.receive_errors + i.counters.send_errors, dropped = i.counters.receive_dropped + i.counters.send_dropped;
  const key = JSON.stringify([i, rate]);
  if (card.dataset.shown === key) return;
  card.dataset.shown = key;
  const title = head(i.name, el("p", { class: `pill ${state}` }, t(`interface.${state}`)));
  title.firstChild.setAttribute("translate", "no");
  card.replaceChildren(title,
    el("ul", { class: "addresses", translate: "no" }, ...(i.addresses ?? []).map((a) => el("li", { class: "mono" }, a))),
    el("dl", { class: "facts" }, ...facts([
      ...(i.up || i.counters.received_bytes ? [
        [t("received"), both(i.counters.received_bytes, rate?.received)],
        [t("sent"), both(i.counters.sent_bytes, rate?.sent)],
      ] : []),
      [t("errors"), errors ? number(errors) : undefined],
      [t("dropped"), dropped ? number(dropped) : undefined],
      [t("mac"), i.mac],
      [t("mtu"), number(i.mtu)],
      [t("speed"), i.speed > 0 ? `${number(i.speed)} Mbit/s` : undefined],
    ])));
}

function route(r) {
  const to = r.to === "0.0.0.0/0" ? t("route.default4") : r.to === "::/0" ? t("route.default6") : "";
  const [, by, on, metric] = columns();
  const cell = (label, text, attrs = {}) => el("td", { role: "cell", "data-label": label, ...attrs }, text);
  return el("tr", { role: "row" },
    el("th", { scope: "row", role: "rowheader", translate: to ? "yes" : "no" }, to || r.to),
    r.gateway ? cell(by, r.gateway, { translate: "no" }) : cell(by, t("route.direct")),
    cell(on, r.interface ?? "", { translate: "no" }),
    cell(metric, number(r.metric ?? 0)));
}
