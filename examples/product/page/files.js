// The files of the device: #files/DIRECTORY.

import { $, el, setText } from "./shared/dom.js";
import { Failure, rest } from "./api.js";
import { button, empty, fail, failure, field, question } from "./ui.js";
import { number, percent, size, t, when } from "./words.js";

const root = "/files";
const url = (path) => [root, ...path.map(encodeURIComponent)].join("/");
const place = (path) => ["#files", ...path.map(encodeURIComponent)].join("/");

const uploads = el("ul", { class: "rows uploads", "aria-label": t("files.uploads") }); // they go on while one looks elsewhere

let path = [], refresh = () => {}, report = () => {};

export async function show(section, { role }) {
  path = asked();
  const may = role === "user" || role === "admin";
  const rows = el("ul", { class: "rows", id: "files-list", tabindex: "-1" }), error = failure(), room = el("div", { class: "room" });
  const pick = el("input", { type: "file", multiple: "", hidden: "", id: "files-pick", "aria-label": t("files.upload") });
  const adding = el("div", {});
  const card = el("article", { class: "card", id: "files-card" },
    el("div", { class: "tools" }, crumbs(), ...(may ? [
      el("span", { class: "buttons" }, button(t("files.mkdir"), () => mkdir(adding)), button(t("files.upload"), () => pick.click(), { class: "button primary", id: "files-upload" }), pick)] : [])),
    room, error, adding, uploads, rows);

  report = (text) => setText(error, text);
  refresh = async () => {
    try {
      const list = await rest("GET", url(path));
      showRoom(room, list);
      rows.replaceChildren(...(list.entries.length ? list.entries.map((e) => row(e, may)) : [empty(t(may ? "files.empty.drop" : "files.empty"))]));
      if (list.more) rows.append(empty(t("files.more", { n: number(list.more) })));
    } catch (e) {
      rows.replaceChildren(empty(e.status === 404 ? t("files.gone") : ""));
      setText(error, e.status === 404 ? "" : e.message);
    }
  };
  pick.addEventListener("change", () => {
    upload([...pick.files]);
    pick.value = "";
  });
  if (may) takeDrops(card);
  await refresh();
  section.replaceChildren(card);
  return flush;
}

// refreshAndFocus is for a change that takes away what had the focus.
async function refreshAndFocus() {
  await refresh();
  $("files-list")?.focus({ preventScroll: true });
}

// asked returns the directory that the address names; the root if it is malformed.
function asked() {
  try {
    return location.hash.slice(1).split("/").slice(1).map(decodeURIComponent).filter(Boolean);
  } catch {
    return [];
  }
}

// crumbs shows the directories that lead here.
function crumbs() {
  const links = [t("files"), ...path].map((name, i) => {
    const to = path.slice(0, i), last = i === path.length;
    return el("li", { translate: i ? "no" : "yes" }, last ? el("span", { "aria-current": "page" }, name) : el("a", { href: place(to) }, name));
  });
  return el("nav", { class: "crumbs", "aria-label": t("files.path") }, el("ol", {}, ...links));
}

function showRoom(room, { used, quota }) {
  if (!quota) return room.replaceChildren();
  room.replaceChildren(
    el("meter", { min: "0", max: String(quota), high: String(0.9 * quota), value: String(used), "aria-label": t("files.room") }),
    el("p", { class: "note muted" }, t("files.used", { used: size(used), quota: size(quota), part: percent(used / quota) })));
}

const icons = {
  dir: "M3 6.5A1.5 1.5 0 0 1 4.5 5h4l2 2.5h9A1.5 1.5 0 0 1 21 9v8.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5Z",
  file: "M6 3h8l4.5 4.5V21H6ZM14 3v4.5h4.5",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("d", icons[name]);
  svg.append(line);
  return svg;
}

function row(e, may) {
  const here = [...path, e.name];
  const li = el("li", { "data-name": e.name });
  if (doomed?.url === url(here)) return showDoomed(li, e.name);
  const about = [e.dir ? "" : size(e.size), when(e.modified)].filter(Boolean).join(" · ");
  const name = e.dir ? el("a", { href: place(here), translate: "no" }, e.name) : el("strong", { translate: "no" }, e.name);
  const tools = [];
  const labelled = (word) => ({ "aria-label": t("of", { what: word, name: e.name }) });
  if (!e.dir) tools.push(el("a", { class: "button", href: `${url(here)}?download`, download: e.name, ...labelled(t("download")) }, t("download")));
  if (may) {
    tools.push(button(t("files.rename"), () => rename(li, e), labelled(t("files.rename"))),
      button(t("files.delete"), () => e.dir ? removeDir(e.name) : doom(e.name), labelled(t("files.delete"))));
  }
  li.append(icon(e.dir ? "dir" : "file"), el("div", {}, name, el("span", { class: "sub" }, about)), el("span", { class: "row-tools" }, ...tools));
  return li;
}

async function removeDir(name) {
  if (!await question(t("files.delete.dir", { name }), t("files.delete"))) return;
  await flush();
  try {
    await rest("DELETE", url([...path, name]));
    report("");
  } catch (e) {
    report(e.message);
  }
  await refreshAndFocus();
}

const regret = 20_000; // ms in which a deletion can be undone

let doomed = null; // the file that is deleted unless that is undone: its url, and a timer

// doom deletes a file after a while. Another change, another section, or the end of the page delete it at once.
async function doom(name) {
  await flush();
  doomed = { url: url([...path, name]), timer: setTimeout(flush, regret) };
  report("");
  await refresh();
  $("files-undo")?.focus();
}

function showDoomed(li, name) {
  const undo = button(t("undo"), () => {
    clearTimeout(doomed?.timer);
    doomed = null;
    return refreshAndFocus();
  }, { id: "files-undo", "aria-label": t("of", { what: t("undo"), name }), "aria-describedby": "files-deleted" });
  li.replaceChildren(icon("file"), el("div", { class: "muted", id: "files-deleted" }, t("files.deleted", { name })), undo);
  return li;
}

// flush deletes the file that is doomed.
async function flush() {
  if (!doomed) return;
  const { url, timer } = doomed;
  clearTimeout(timer);
  doomed = null;
  try {
    await rest("DELETE", url, undefined, { keepalive: true });
  } catch (e) {
    report(e.message);
  }
  await refresh();
}
addEventListener("pagehide", flush);

// nameForm makes a form for the name of a file. send is called with what is entered.
function nameForm(label, value, word, send, end) {
  const input = el("input", { name: "name", required: "", maxlength: "255", autocomplete: "off", spellcheck: "false", value });
  const form = el("form", { class: "name-form", novalidate: "" }, field(label, input),
    el("p", { class: "buttons" }, el("button", { class: "button primary" }, word), button(t("cancel"), end)));
  form.addEventListener("input", () => fail(input, ""));
  form.addEventListener("keydown", (e) => e.key === "Escape" && end());
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const name = input.value.trim();
    if (!name || name.includes("/")) return fail(input, t("files.name.bad"));
    try {
      await flush();
      await send(name);
      await refreshAndFocus();
    } catch (e) {
      fail(input, e.message);
      input.focus();
    }
  });
  queueMicrotask(() => {
    input.focus();
    input.setSelectionRange(0, value.lastIndexOf(".") > 0 ? value.lastIndexOf(".") : value.length);
  });
  return form;
}

function rename(li, e) {
  const before = [...li.children];
  li.replaceChildren(nameForm(t("files.rename.to"), e.name, t("files.rename"), (name) =>
    name === e.name ? null : rest("POST", `${url([...path, e.name])}?rename=${encodeURIComponent([...path, name].join("/"))}`),
  () => li.replaceChildren(...before)));
}

function mkdir(adding) {
  const end = () => adding.replaceChildren();
  adding.replaceChildren(nameForm(t("files.mkdir.name"), "", t("files.mkdir"), async (name) => {
    await rest("POST", `${url([...path, name])}?mkdir`);
    end();
  }, end));
}

// takeDrops uploads what is dropped on the card.
function takeDrops(card) {
  let inside = 0;
  const mark = (by) => card.classList.toggle("drop", (inside = by ? inside + by : 0) > 0);
  card.addEventListener("dragenter", () => mark(1));
  card.addEventListener("dragleave", () => mark(-1));
  card.addEventListener("dragover", (e) => e.preventDefault());
  card.addEventListener("drop", (e) => {
    e.preventDefault();
    mark(0);
    upload([...e.dataTransfer.files]);
  });
}

// upload sends files, one after the other, into the directory that is shown.
async function upload(list) {
  const to = path;
  const waiting = list.map((file) => [file, waitingRow(file)]);
  await flush();
  for (const [file, line] of waiting) await uploadOne(file, [...to, file.name], line);
}

function waitingRow(file) {
  const bar = el("progress", { max: "1", value: "0", "aria-label": t("files.progress", { name: file.name }) }), text = el("span", { class: "sub", role: "status" }, t("files.waiting"));
  const line = { bar, text, cancelled: false, request: null };
  const stop = button(t("cancel"), () => {
    line.cancelled = true;
    line.request?.abort();
    line.li.remove();
  }, { "aria-label": t("of", { what: t("cancel"), name: file.name }) });
  line.stop = stop;
  line.li = el("li", {}, el("div", {}, el("strong", { translate: "no" }, file.name), bar, text), stop);
  uploads.append(line.li);
  return line;
}

async function uploadOne(file, to, line) {
  try {
    if (line.cancelled) return;
    try {
      await put(file, to, line, { "If-None-Match": "*" });
    } catch (e) {
      if (e.status !== 412) throw e;
      if (!await question(t("files.replace", { name: file.name }), t("files.replace.yes"))) return line.li.remove();
      await put(file, to, line);
    }
    line.li.remove();
    await refresh();
  } catch (e) {
    if (line.cancelled) return;
    line.bar.remove();
    line.stop.textContent = t("close");
    line.text.className = "sub bad";
    setText(line.text, e.message);
  }
}

// put sends a file. Unlike fetch, XMLHttpRequest tells how far it is.
function put(file, to, line, headers = {}) {
  return new Promise((resolve, reject) => {
    const x = new XMLHttpRequest();
    line.request = x;
    x.open("PUT", url(to));
    for (const [name, value] of Object.entries(headers)) x.setRequestHeader(name, value);
    x.setRequestHeader("Content-Type", "application/octet-stream");
    x.upload.addEventListener("progress", (e) => {
      line.bar.value = e.loaded / (e.total || 1);
      setText(line.text, t("files.sent", { part: percent(e.loaded / (e.total || 1)), size: size(file.size) }));
    });
    x.addEventListener("load", () => {
      if (x.status < 300) return resolve();
      let doc = {};
      try {
        doc = JSON.parse(x.responseText);
      } catch {
        // A proxy's page
      }
      reject(new Failure(doc, x.status));
    });
    x.addEventListener("error", () => reject(new Failure({ error: t("files.broken") })));
    x.addEventListener("abort", () => reject(new Failure({ error: t("files.broken") })));
    x.send(file);
  });
}
