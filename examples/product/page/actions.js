// The actions that the device offers.

import { el } from "./shared/dom.js";
import { rest } from "./api.js";
import { words } from "./form.js";
import { button, empty, question, say } from "./ui.js";
import { declared, t } from "./words.js";

export async function show(section) {
  const list = await rest("GET", "/api/actions");
  const note = el("p", { id: "action-note", class: "note", role: "status" });
  const rows = list.map((a) => el("li", {}, el("div", {}, a.help ? declared(a.help) : ""),
    button(words(a.name), () => run(a, note), { "data-action": a.name })));
  section.replaceChildren(el("ul", { class: "rows card" }, ...(rows.length ? rows : [empty(t("actions.none"))])), note);
}

async function run(a, note) {
  if (a.confirm && !await question(declared(a.confirm), words(a.name))) return;
  say(note, "");
  try {
    await rest("POST", `/api/actions/${a.name}`, { confirm: true });
    say(note, t("actions.done", { name: words(a.name) }));
  } catch (e) {
    say(note, e.message, true);
  }
}
