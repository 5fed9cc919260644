// The parts that the sections are made of.

import { $, el, setText } from "./shared/dom.js";
import { t } from "./words.js";

// say shows a text in a note; bad says that it is about a failure.
export function say(node, text, bad = false) {
  node.className = bad ? "note bad" : "note";
  setText(node, text);
}

// question asks whether to go on. yes is the word on the button that does.
export function question(text, yes) {
  const dialog = $("ask");
  setText($("ask-text"), text);
  setText($("ask-yes"), yes);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// button makes a button that is out of use while f runs. The .failure of its card tells why f has failed.
export function button(text, f, attrs = {}) {
  const b = el("button", { class: "button", type: "button", ...attrs }, text);
  b.addEventListener("click", async () => {
    const place = b.closest(".card")?.querySelector(".failure");
    if (place) setText(place, "");
    try {
      await busy(b, f);
    } catch (e) {
      if (!place) throw e;
      setText(place, e.message);
    }
  });
  return b;
}

// busy keeps a button out of use while f runs, and gives it the focus back.
export async function busy(b, f) {
  const focused = document.activeElement === b;
  b.disabled = true;
  b.setAttribute("aria-busy", "true");
  try {
    return await f();
  } finally {
    b.disabled = false;
    b.removeAttribute("aria-busy");
    if (focused && document.activeElement === document.body) b.focus();
  }
}

let ids = 0;

// field makes a label and an input, with room for a help or for what is wrong.
export function field(label, input, help = "") {
  input.id ||= `f${++ids}`;
  const note = el("p", { class: "note muted", id: `${input.id}-note` }, help);
  input.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input, note);
}

// fail shows what is wrong beside an input; "" takes it away, and the help is back.
export function fail(input, text) {
  const note = input.closest(".field").querySelector(".note");
  note.dataset.help ??= note.textContent;
  note.id ||= `${input.id}-note`;
  input.setAttribute("aria-describedby", note.id);
  input.setAttribute("aria-invalid", String(text !== ""));
  note.className = text ? "note bad" : "note muted";
  setText(note, text || note.dataset.help);
}

// wrong says why the browser does not take what is entered, "" if it does.
function wrong({ validity, min, max, minLength }) {
  if (validity.valid) return "";
  if (validity.valueMissing) return t("input.missing");
  return validity.tooShort ? t("input.short", { n: minLength }) : t("input.number", { min, max });
}

// submit has a form checked and sent: f gets its values. A failure is shown beside the field whose name at(failure) returns, else
// at the form's .failure.
export function submit(form, f, at = () => "") {
  form.noValidate = true;
  const inputs = () => [...form.elements].filter((n) => n.name && n.closest(".field"));
  form.addEventListener("input", ({ target }) => target.closest(".field") && fail(target, ""));
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    const failure = form.querySelector(".failure");
    setText(failure, "");
    for (const n of inputs()) fail(n, wrong(n));
    const first = inputs().find(wrong);
    if (first) {
      first.focus();
      return;
    }
    busy(e.submitter ?? form.querySelector("button:not([type=button])"), async () => {
      try {
        await f(Object.fromEntries(new FormData(form)));
      } catch (e) {
        const n = form.elements.namedItem(at(e) || "-");
        if (n) {
          fail(n, e.message);
          n.focus();
        } else {
          setText(failure, e.message);
        }
      }
    });
  });
  return form;
}

export const failure = () => el("p", { class: "note bad failure", role: "alert" });
export const head = (text, ...more) => el("div", { class: "card-head" }, el("h2", {}, text), ...more);
export const empty = (text) => el("li", { class: "empty" }, text);
export const facts = (list) => list.filter(([, v]) => v !== undefined && v !== "").map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", { translate: "no" }, v)));

// choice makes a select of [value, text].
export const choice = (attrs, options) => el("select", attrs, ...options.map(([value, text]) => el("option", { value }, text)));
