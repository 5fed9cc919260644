// Sessions, one's own password, users and tokens.

import { el } from "./shared/dom.js";
import { rest } from "./api.js";
import { button, choice, empty, failure, field, question, submit } from "./ui.js";
import { day, t, when } from "./words.js";

const roles = () => [["viewer", t("role.viewer")], ["user", t("role.user")], ["admin", t("role.admin")]];
const scopes = ["settings", "update", "files", "logs", "metrics", "about", "certificate", "hub", "owner"];

// show builds the section. The lists of others are for admins.
export async function show(section, { name, role }) {
  const lists = [sessions()];
  if (role === "admin") lists.push(users(name), tokens());
  const [mine, ...others] = await Promise.all(lists);
  section.replaceChildren(el("div", { class: "grid" }, mine, password(), ...others));
}

// list makes a card whose rows load() returns. The other parts of the card stay when the rows are loaded anew.
async function list(title, id, load, none) {
  const rows = el("ul", { class: "rows", id }), error = failure();
  const fill = async () => {
    try {
      const items = await load(act);
      rows.replaceChildren(...(items.length ? items : [empty(none)]));
      error.textContent = "";
    } catch (e) {
      error.textContent = e.message;
    }
  };
  // act does what a row's button is for, and shows the rows as they are then.
  const act = async (f) => {
    try {
      await f();
      await fill();
    } catch (e) {
      error.textContent = e.message;
    }
  };
  await fill();
  const card = el("article", { class: "card half" }, el("h2", {}, title), rows, error);
  return { card, fill };
}

// row shows what something is, and a button that removes it after a question, unless remove is null.
function row(name, text, word, asked, remove) {
  const li = el("li", {}, el("div", {}, el("strong", { translate: "no" }, name), el("span", { class: "sub" }, text)));
  if (remove) {
    li.append(button(word, async () => {
      if (await question(asked, word)) await remove();
    }, { "aria-label": t("of", { what: word, name }) }));
  }
  return li;
}

async function sessions() {
  const { card } = await list(t("my.sessions"), "sessions", async (act) => (await rest("GET", "/owner/sessions")).map((s) =>
    row(s.from, t(s.current ? "session.this" : "session.since", { time: when(s.begun) }), t("session.end"), t("session.ask", { from: s.from }),
      s.current ? null : () => act(() => rest("DELETE", `/owner/sessions/${s.id}`)))), t("none"));
  card.append(el("p", { class: "buttons" }, button(t("logout"), logout, { id: "logout" })));
  return card;
}

async function logout() {
  await rest("POST", "/owner/logout", {});
  dispatchEvent(new Event("signedout"));
}

function password() {
  const done = el("p", { class: "note", role: "status", id: "password-note" });
  const form = el("form", { id: "password-form" },
    field(t("password.old"), el("input", { name: "old", type: "password", autocomplete: "current-password", required: "" })),
    field(t("password.new"), el("input", { name: "password", type: "password", autocomplete: "new-password", required: "", minlength: "8" }), t("password.help")),
    failure(), done, el("p", { class: "buttons" }, el("button", { class: "button" }, t("password.go"))));
  form.addEventListener("input", () => (done.textContent = ""));
  submit(form, async (values) => {
    await rest("PUT", "/owner/password", values);
    form.reset();
    done.textContent = t("password.done");
  }, ({ code }) => ({ "old-password": "old", password: "password" })[code] ?? "");
  return el("article", { class: "card half" }, el("h2", {}, t("password.title")), form);
}

async function users(me) {
  const { card, fill } = await list(t("users"), "users", async (act) => (await rest("GET", "/owner/users")).map((u) =>
    row(u.name, u.name === me ? t("user.me", { role: t(`role.${u.role}`) }) : t(`role.${u.role}`), t("remove"), t("user.ask", { name: u.name }),
      () => act(() => rest("DELETE", `/owner/users/${encodeURIComponent(u.name)}`)))), t("none"));
  const form = el("form", { id: "user-form", class: "fields" },
    field(t("name"), el("input", { name: "name", autocapitalize: "none", autocomplete: "off", spellcheck: "false", required: "", maxlength: "32" })),
    field(t("role"), choice({ name: "role" }, roles())),
    field(t("enter.password"), el("input", { name: "password", type: "password", autocomplete: "new-password", required: "" })),
    failure(), el("p", { class: "buttons" }, el("button", { class: "button" }, t("user.add"))));
  submit(form, async ({ name, role, password }) => {
    await rest("PUT", `/owner/users/${encodeURIComponent(name)}`, { role, password });
    form.reset();
    await fill();
  }, ({ code }) => ({ name: "name", password: "password", "new-user": "password" })[code] ?? "");
  card.append(el("h3", {}, t("user.new")), form);
  return card;
}

async function tokens() {
  const { card, fill } = await list(t("tokens"), "tokens", async (act) => (await rest("GET", "/owner/tokens")).map((k) =>
    row(k.name, [t(`role.${k.role}`), k.scopes?.join(", ") || t("token.all"), t("token.by", { name: k.by }), k.ends ? t("token.until", { day: day(k.ends) }) : t("token.endless")].join(" · "),
      t("remove"), t("token.ask", { name: k.name }), () => act(() => rest("DELETE", `/owner/tokens/${k.id}`)))), t("token.none"));
  const made = el("div", { id: "token-made", role: "status" });
  const boxes = el("fieldset", { class: "choices" }, el("legend", {}, t("token.scopes")), ...scopes.map((s) =>
    el("label", {}, el("input", { type: "checkbox", name: "scope", value: s }), el("span", { translate: "no" }, s))),
    el("p", { class: "note muted" }, t("token.scopes.help")));
  const form = el("form", { id: "token-form", class: "fields" },
    field(t("name"), el("input", { name: "name", autocapitalize: "none", autocomplete: "off", spellcheck: "false", required: "", maxlength: "32" })),
    field(t("role"), choice({ name: "role" }, roles())),
    field(t("token.days"), el("input", { name: "days", type: "number", min: "1", max: "3650", inputmode: "numeric" }), t("token.days.help")),
    boxes, failure(), el("p", { class: "buttons" }, el("button", { class: "button" }, t("token.make"))));
  submit(form, async ({ name, role, days }) => {
    const chosen = new FormData(form).getAll("scope");
    const { token } = await rest("POST", "/owner/tokens", { name, role, scopes: chosen, days: Number(days) || 0 });
    form.reset();
    const text = el("code", { class: "secret", translate: "no" }, token);
    made.replaceChildren(el("p", { class: "note" }, t("token.copy")), text, button(t("copy"), () => copy(text)));
    await fill();
  }, ({ code }) => code === "new-token" ? "name" : "");
  card.append(el("h3", {}, t("token.new")), form, made);
  return card;
}

// copy puts a text into the clipboard, or, where the browser does not allow that, marks it.
async function copy(node) {
  getSelection().selectAllChildren(node);
  await navigator.clipboard?.writeText(node.textContent).catch(() => {});
}
