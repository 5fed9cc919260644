// The device: its versions, its parts and the last changes.

import { $, el } from "./shared/dom.js";
import { rest } from "./api.js";
import { empty, facts } from "./ui.js";
import { declared, many, span, t, when } from "./words.js";

export async function show(section, { role }) {
  const [info, entries] = await Promise.all([rest("GET", "/about"), role === "admin" ? rest("GET", "/api/audit") : null]);
  const changes = entries?.slice(-20).reverse().map(change) ?? [];
  section.replaceChildren(el("div", { class: "grid" },
    el("article", { class: "card half" }, el("h2", {}, t("about.device")), el("dl", { id: "facts", class: "facts" }, ...facts([
      [t("name"), $("name").textContent],
      [t("about.board"), info.board],
      [t("about.version"), info.version],
      [t("about.revision"), info.revision && info.revision.slice(0, 12) + (info.changed ? ` ${t("about.changed")}` : "")],
      [t("about.made"), info.made && when(info.made)],
      [t("about.go"), `${info.go}, ${info.system}`],
      [t("about.kernel"), info.kernel],
      [t("about.uptime"), span(info.uptime)],
      [t("about.running"), info.running && span(info.running)],
      [t("about.link"), location.protocol === "https:" ? t("about.tls") : t("about.plain")],
    ]))),
    el("article", { class: "card half" }, el("h2", {}, t("audit")),
      el("ul", { id: "audit", class: "rows" }, ...(changes.length ? changes : [empty(entries ? t("audit.none") : t("admins"))]))),
    modules(info.modules)));
}

// change shows an entry of the audit.
function change(e) {
  const what = e.from ? `${e.what}, ${e.from} → ${e.to}` : e.to ? `${e.what}: ${e.to}` : e.what;
  return el("li", {}, el("div", {}, el("strong", { translate: "no" }, declared(what)), el("span", { class: "sub", translate: "no" }, `${when(e.time)} · ${e.who}`)));
}

// modules lists what the program is made of. The texts of the licences are loaded when somebody opens them.
function modules(list) {
  const texts = el("div", { id: "licences" });
  const more = el("details", {}, el("summary", {}, t("licences.show")), texts);
  more.addEventListener("toggle", async () => {
    if (!more.open || texts.firstChild) return;
    texts.textContent = t("waiting");
    try {
      texts.replaceChildren(...licences(await rest("GET", "/about/licences")));
    } catch (e) {
      texts.textContent = e.message;
    }
  });
  const columns = [t("module"), t("about.version"), t("licence")];
  const cell = (i, text) => el("td", { role: "cell", "data-label": columns[i], translate: "no" }, text ?? "");
  return el("article", { class: "card full" },
    el("div", { class: "card-head" }, el("h2", { id: "modules-title" }, many("modules", list.length)), el("a", { class: "button", id: "sbom", href: "/about/sbom.json", download: "sbom.json" }, t("sbom"))),
    el("table", { class: "table", id: "modules", role: "table", "aria-labelledby": "modules-title" },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...columns.map((text) => el("th", { scope: "col", role: "columnheader" }, text)))),
      el("tbody", { role: "rowgroup" }, ...list.map((m) => el("tr", { role: "row" },
        el("th", { scope: "row", role: "rowheader", translate: "no" }, m.path), cell(1, m.version), cell(2, m.licence))))), more);
}

// licences shows each text once, with the modules that it is for.
const licences = ({ modules, texts }) => texts.map((text, i) => el("section", { class: "licence", translate: "no", "aria-label": t("licence") },
  el("p", {}, modules.filter((m) => m.texts?.includes(i)).map((m) => `${m.path} (${m.spdx})`).join(", ")), el("pre", { tabindex: "0" }, text)));
