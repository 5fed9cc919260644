// Wires the sections together: who is there decides what is shown.

import { $, el, setText } from "./shared/dom.js";
import { showLink } from "./shared/frame.js";
import { rest, settled } from "./api.js";
import * as form from "./form.js";
import { follow, hub } from "./live.js";
import { checkVersion } from "./shell.js";
import { submit } from "./ui.js";
import { t } from "./words.js";

let who = { owned: true, role: "nobody" }, begun = false, name = "";

// Each section has a module with show(element, who), which may return what ends it. It is loaded when somebody looks.
const sections = {
  overview: null,
  settings: null,
  actions: () => import("./actions.js"),
  network: () => import("./network.js"),
  files: () => import("./files.js"),
  logs: () => import("./logs.js"),
  people: () => import("./people.js"),
  certificate: () => import("./certificate.js"),
  update: () => import("./update.js"),
  about: () => import("./about.js"),
};
const places = [...Object.keys(sections), "enter", "offline"];

let leave = null; // ends the section that is shown
let turn = 0; // of go: a section that was slow is not for the next one
let endState = null;

// go shows the section that the address names: #NAME, or #NAME/MORE.
async function go() {
  const known = who.role !== "nobody", [asked] = location.hash.slice(1).split("/");
  const there = Object.hasOwn(sections, asked) && !link(asked).hidden;
  const next = !begun ? "offline" : !known || asked === "enter" && !who.owned ? "enter" : there ? asked : "overview";
  const again = next === name, mine = ++turn;
  name = next;
  leave?.();
  leave = null;
  for (const s of places) $(s).hidden = s !== name;
  if (!again) scrollTo(0, 0); // the browser has gone to the section's own top
  $("nav").hidden = !known;
  openMenu(false);
  for (const a of $("tabs").children) {
    if (a.hash === `#${name}`) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  setText($("menu-text"), link(name)?.textContent ?? t("sections"));
  if (name === "enter") showEnter();
  if (!sections[name]) return;
  const section = $(name);
  section.setAttribute("aria-busy", "true");
  try {
    const end = await (await sections[name]()).show(section, who);
    if (mine === turn) leave = end ?? null;
    else end?.();
  } catch (e) {
    if (mine !== turn) return;
    if (e.status === 401 || e.status === 403) refresh().catch(() => {});
    section.replaceChildren(el("p", { class: "card note bad", role: "alert" }, e.message));
  }
  if (mine === turn) section.removeAttribute("aria-busy");
}

// may tells whether a section is for whoever is there.
function may(section) {
  const least = { people: ["viewer", "user", "admin"], files: ["user", "admin"], logs: ["admin"] }[section];
  return !least || who.owned && least.includes(who.role);
}

const link = (section) => $("tabs").querySelector(`[href="#${section}"]`);

function openMenu(open) {
  $("menu").setAttribute("aria-expanded", String(open));
}
$("menu").addEventListener("click", () => openMenu($("menu").getAttribute("aria-expanded") === "false"));
$("nav").addEventListener("keydown", (e) => {
  if (e.key !== "Escape" || $("menu").getAttribute("aria-expanded") === "false") return;
  openMenu(false);
  $("menu").focus();
});
$("tabs").addEventListener("click", ({ target }) => {
  if (target.hash === location.hash) openMenu(false);
});

// refresh asks who one is, and begins anew if that has changed. One call waits for the one before: several things may tell of the
// same change.
let pending = Promise.resolve();
const refresh = () => pending = pending.catch(() => {}).then(askWho);

async function askWho() {
  await settled();
  const now = await rest("GET", "/owner", undefined, { patience: 8000 });
  const same = begun && now.role === who.role && now.name === who.name && now.owned === who.owned;
  if (!same) become(now, now.role === "nobody" ? null : await rest("GET", "/api/schema"));
}

// become shows the page as it is for somebody. schema is that of the settings, unless nobody is there.
function become(somebody, schema = null) {
  form.forget(who.name);
  who = somebody;
  begun = true;
  $("setup-hint").hidden = who.owned;
  for (const a of $("tabs").children) a.hidden = !may(a.hash.slice(1));
  hub.close();
  for (const s of Object.keys(sections)) if (sections[s]) $(s).replaceChildren(); // the next one may see less
  endState?.(); // a new subscription gets the state at once
  $("status").hidden = who.role === "nobody";
  if (who.role === "nobody") {
    $("banner").hidden = true;
    $("readings").replaceChildren();
    $("groups").replaceChildren();
  } else {
    endState = follow("state", form.show);
    hub.open();
    form.build(schema, who.owned ? who.role : "viewer", who.name);
  }
  setText($("who"), who.role === "nobody" ? t("who.nobody") : who.owned ? t("who", { name: who.name, role: t(`role.${who.role}`) }) : t("who.unowned"));
  name = "";
  go();
}

// begin is refresh for a page that knows nothing yet. Without a device it says so, and tries again.
let timer = 0, tries = 0;
async function begin() {
  clearInterval(timer);
  setText($("offline-next"), t("trying"));
  try {
    await refresh();
    checkVersion(() => true).catch(() => {});
  } catch {
    $("status").dataset.link = "down";
    setText($("status-text"), t("link.offline"));
    go();
    const at = Date.now() + Math.min(30_000, 1000 * 2 ** ++tries);
    timer = setInterval(() => {
      const left = Math.ceil((at - Date.now()) / 1000);
      if (left > 0) setText($("offline-next"), t("link.next", { seconds: left }));
      else begin();
    }, 250);
  }
}
$("offline-retry").addEventListener("click", begin);
addEventListener("online", () => begun || begin());

function showEnter() {
  const setup = !who.owned;
  setText($("enter-title"), setup ? t("setup") : t("login"));
  setText($("enter-go"), setup ? t("setup.go") : t("login"));
  setText($("enter-help"), setup ? t("setup.help") : "");
  $("code-field").hidden = !setup;
  $("code").required = setup;
  $("password").autocomplete = setup ? "new-password" : "current-password";
}

submit($("enter-form"), async ({ code, name, password }) => {
  if (who.owned) await rest("POST", "/owner/login", { name, password });
  else await rest("POST", "/owner/setup", { code: code.trim().toUpperCase(), name, password });
  $("enter-form").reset();
  if (!form.isDirty()) location.hash = "#overview";
  await refresh();
  $("main").focus({ preventScroll: true });
}, ({ code }) => ({ "setup-code": "code", name: "name", password: "password" })[code] ?? "");

const sending = '.uploads progress, #progress:not([hidden], [value="1"])'; // an upload that goes on

showLink(hub, "", (up) => {
  if (up) checkVersion(() => !form.isDirty() && !document.querySelector(sending)).catch(() => {});
  else refresh().catch(() => {}); // a session that has ended closes the link too
}, {
  up: t("link.up"), down: t("link.down.trying"), live: t("link.live"), offline: t("link.offline"), trying: t("trying"),
  next: (seconds) => t("link.next", { seconds }),
});
hub.addEventListener("denied", () => refresh().catch(() => {}));

$("lang").value = document.documentElement.lang;
$("lang").addEventListener("change", () => {
  try {
    localStorage.setItem("lang", $("lang").value);
  } catch {
    // Storage is blocked: the browser's languages go on to count.
  }
  location.reload();
});

addEventListener("hashchange", go);
addEventListener("signedout", () => {
  form.forget(); // nothing is kept for one who leaves
  become({ owned: true, role: "nobody" });
});
begin();
