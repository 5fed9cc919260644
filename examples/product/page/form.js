// The form of the settings, and the cards of the readings, from the JSON Schema.

import { $, el, setText } from "./shared/dom.js";
import { rest } from "./api.js";
import { fail, say } from "./ui.js";
import { declared, number, span, t, told } from "./words.js";

const ranks = { nobody: 0, viewer: 1, user: 2, admin: 3 };

// A field is a leaf of the schema: {path, s (its schema)}, and of the form: box, input.
let fields = [], settings = null, rank = 0;
let before = null; // what the last save has replaced: a merge patch

const at = (doc, path) => path.split(".").reduce((v, name) => v?.[name], doc);
const capitals = new Set(["dhcp", "dns", "ip", "led", "ntp", "ssid"]);

// words makes a title of a name in the declaration.
export function words(name) {
  const text = name.replace(/[_.-]/g, " ");
  return declared(capitals.has(text) ? text.toUpperCase() : text[0].toUpperCase() + text.slice(1));
}

function leaves(s, path) {
  return s["x-order"].flatMap((name) => {
    const inner = s.properties[name], p = path ? `${path}.${name}` : name;
    return inner.type === "object" ? leaves(inner, p) : [{ path: p, name, s: inner }];
  });
}

// build makes the form anew for somebody, who gets back what was not saved when the session ended.
export function build(schema, role, name) {
  rank = ranks[role];
  before = null;
  if (aside?.name !== name) aside = null;
  $("groups").inert = true; // until the values are known
  const all = leaves(schema, "");
  fields = all.filter((f) => !f.s.readOnly);
  const groups = new Map();
  for (const f of fields) {
    const title = declared(f.s["x-group"] || "General");
    if (!groups.has(title)) groups.set(title, el("fieldset", { class: "card" }, el("legend", { class: "hidden" }, title), el("h2", { "aria-hidden": "true" }, title)));
    groups.get(title).append(makeField(f));
  }
  $("groups").replaceChildren(...groups.values());
  $("readings").replaceChildren(...all.filter((f) => f.s.readOnly).map((f) => {
    const big = el("p", { class: "big", "data-path": f.path, "data-unit": f.s["x-unit"] ?? "" }, "–");
    return el("article", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, words(f.path.slice(f.path.indexOf(".") + 1)))), big);
  }));
  if (settings) show(settings); // they were quicker
}

const product = document.title;

let aside = null; // what somebody had not saved: their name, and [path, value] of each field; no secrets

// forget is for a change of who is there. What name has not saved is set aside; without a name nothing is.
export function forget(name) {
  const kept = fields.filter((f) => changed(f) && !f.s.writeOnly).map((f) => [f.path, read(f)]);
  if (name && kept.length) aside = { name, kept };
  fields = [];
  settings = null;
  setName(product);
}

function setName(name) {
  setText($("name"), name);
  document.title = name;
}

function makeField(f) {
  const id = `set-${f.path}`, s = f.s, attrs = { id, name: f.path, "aria-describedby": `${id}-note` };
  if (s.enum) {
    f.input = el("select", attrs, ...s.enum.map((v) => el("option", { value: v }, declared(v))));
  } else if (s.type === "boolean") {
    f.input = el("input", { ...attrs, type: "checkbox" });
  } else if (s.type === "string") {
    f.input = el("input", { ...attrs, type: s.writeOnly ? "password" : "text", dir: "auto", autocomplete: s.writeOnly ? "new-password" : "off", spellcheck: "false" });
    if (s.maxLength) f.input.maxLength = s.maxLength;
    if (s.writeOnly) f.input.placeholder = t("unchanged");
  } else {
    f.input = el("input", { ...attrs, type: "number", inputmode: "decimal", step: s["x-step"] ?? "any" });
    if (s.minimum !== undefined) f.input.min = s.minimum;
    if (s.maximum !== undefined) f.input.max = s.maximum;
  }
  f.input.disabled = rank < ranks[s["x-role"] ?? "user"];
  f.input.addEventListener("input", () => {
    fail(f.input, "");
    showChanged();
  });
  const label = el("label", { for: id }, words(f.name));
  if (s["x-unit"]) label.append(el("span", { class: "unit", translate: "no" }, ` (${s["x-unit"]})`));
  const help = [s.description ? declared(s.description) : "", s["x-restart"] ? t("restart.needed") : ""].filter(Boolean).join(" ");
  const note = el("p", { class: "note muted", id: `${id}-note` }, help);
  f.box = el("div", { class: s.type === "boolean" ? "field check" : "field" }, ...(s.type === "boolean" ? [f.input, label] : [label, f.input]), note);
  return f.box;
}

function read(f) {
  const { input, s } = f;
  if (s.type === "boolean") return input.checked;
  if (s.type === "integer" || s.type === "number") return input.value === "" ? input.value : Number(input.value);
  return input.value;
}

// type has an input show a value as if somebody had typed it, write as that of the device.
function type(f, value) {
  if (f.s.type === "boolean") f.input.checked = value;
  else f.input.value = value;
}

function write(f, value) {
  type(f, value);
  f.base = value;
}

const changed = (f) => f.base !== undefined && read(f) !== f.base;

// isDirty reports whether there is something to save.
export const isDirty = () => aside !== null || fields.some(changed);

// showChanged marks what is changed. Undo is for that, and after a save for what was saved.
function showChanged() {
  let any = false;
  for (const f of fields) {
    const is = changed(f);
    f.box.classList.toggle("changed", is);
    any ||= is;
  }
  $("save").disabled = !any;
  $("undo").disabled = !any && !before;
  if (any) say($("settings-note"), "");
}

// show fills in the settings. A field that the user is changing stays as it is.
export function show(doc) {
  settings = doc;
  setName(doc.name ?? "");
  for (const f of fields) {
    const value = at(doc, f.path) ?? "";
    if (f.base === undefined || !changed(f)) {
      if (f.base !== value) write(f, value);
    }
  }
  if (fields.length) restore(); // else the form comes later
  showChanged();
  for (const p of $("readings").querySelectorAll("[data-path]")) {
    const [text, unit] = reading(at(doc, p.dataset.path), p.dataset.unit);
    if (p.dataset.shown === text + unit) continue;
    p.dataset.shown = text + unit;
    p.classList.toggle("na", text === t("n/a"));
    p.classList.toggle("words", !/\d/.test(text));
    p.replaceChildren(text, el("span", { class: "unit", translate: "no" }, unit && `\u2009${unit}`));
  }
}

// restore puts back what was not saved.
function restore() {
  $("groups").inert = false;
  for (const [path, value] of aside?.kept ?? []) {
    const f = fields.find((f) => f.path === path);
    if (f && !f.input.disabled) type(f, value);
  }
  aside = null;
}

function reading(v, unit) {
  switch (typeof v) {
    case "boolean": return [v ? t("yes") : t("no"), ""];
    case "number": return unit === "s" ? [span(v), ""] : [number(v), unit];
    case "string": return v ? [declared(v), unit] : [t("n/a"), ""];
    default: return [t("n/a"), ""]; // a reading without a value
  }
}

// undo drops what is changed, or, if nothing is, takes back the last save.
async function undo() {
  if (isDirty()) {
    for (const f of fields) {
      write(f, at(settings, f.path) ?? "");
      fail(f.input, "");
    }
    showChanged();
    say($("settings-note"), t("undone"));
    return;
  }
  const patch = before;
  before = null;
  showChanged();
  try {
    await rest("PATCH", "/api/settings", patch);
    say($("settings-note"), t("undone"));
  } catch (e) {
    say($("settings-note"), e.message, true);
  }
}

// limits are what an error about a value may speak of.
const limits = ({ s }) => ({
  min: number(s.minimum ?? s.minLength), max: number(s.maximum ?? s.maxLength), step: number(s["x-step"]),
  unit: s["x-unit"] ?? "", choices: s.enum?.map(declared).join(", "),
});

// put sets a member of a document by its path.
function put(doc, path, value) {
  const names = path.split("."), name = names.pop();
  for (const n of names) doc = doc[n] ??= {};
  doc[name] = value;
}

async function save() {
  const patch = {}, old = {};
  const sent = fields.filter(changed).map((f) => [f, read(f)]);
  for (const [f, value] of sent) {
    put(patch, f.path, value);
    if (!f.s.writeOnly) put(old, f.path, f.base); // nobody can tell what a secret was
  }
  for (const f of fields) fail(f.input, "");
  $("save").disabled = true;
  try {
    const done = await rest("PATCH", "/api/settings", patch);
    for (const [f, value] of sent) {
      if (f.s.writeOnly) write(f, "");
      else f.base = value;
    }
    before = Object.keys(old).length ? old : null;
    showChanged();
    say($("settings-note"), done.warning ? declared(done.warning) : done.restart ? t("saved.restart") : t("saved"), done.saved === false);
  } catch (e) {
    let first = null;
    for (const f of fields) {
      if (!e.fields?.[f.path]) continue;
      const { code, error } = e.fields[f.path];
      fail(f.input, t("wrong", { name: words(f.name), error: told(code, error, limits(f)) }));
      first ??= f;
    }
    showChanged();
    say($("settings-note"), first ? t("saved.not") : e.message, true);
    first?.input.focus();
  }
}

$("undo").addEventListener("click", undo);
$("settings-form").addEventListener("submit", (e) => {
  e.preventDefault();
  if (!$("save").disabled) save();
});
addEventListener("beforeunload", (e) => {
  if (isDirty()) e.preventDefault();
});
