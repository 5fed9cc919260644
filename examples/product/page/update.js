// The upload of an update: in pieces, so that it shows how far it is and goes on after a break.

import { $, el, setText } from "./shared/dom.js";
import { Failure, rest } from "./api.js";
import { follow } from "./live.js";
import { button, failure, field, say, submit } from "./ui.js";
import { percent, t, told, when } from "./words.js";

const piece = 1 << 20; // bytes

// show says what runs. Without slots the device takes no updates.
export async function show(section, { role }) {
  let status;
  try {
    status = await rest("GET", "/update");
  } catch (e) {
    if (e.status !== 404) throw e;
    section.replaceChildren(el("div", { class: "card" }, el("h2", {}, t("update.title")), el("p", { id: "update-state", class: "note" }, t("update.off"))));
    return;
  }
  const form = el("form", { id: "update-form", class: "card" }, el("h2", {}, t("update.title")), el("p", { id: "update-state", class: "note" }));
  section.replaceChildren(form);
  if (role === "admin") {
    form.append(
      field(t("update.program"), el("input", { id: "image", name: "image", type: "file", required: "" })),
      field(t("update.signature"), el("input", { id: "signature", name: "signature", type: "file", accept: ".minisig", required: "" })),
      el("progress", { id: "progress", max: "1", value: "0", "aria-label": t("update.progress"), hidden: "" }),
      el("p", { id: "update-note", class: "note", role: "status" }), failure(),
      el("p", { class: "buttons" }, el("button", { id: "send", class: "button primary" }, t("update.send"))));
    submit(form, ({ image, signature }) => send(image, signature));
  }
  section.append(pullCard(role));
  tell(status);
  return follow("update", tell);
}

// pullCard is about updates that the device fetches by itself.
function pullCard(role) {
  const note = el("p", { class: "note bad", role: "status" });
  const ask = async () => {
    say(note, "");
    try {
      await rest("POST", "/update/pull"); // what follows is told by the topic
    } catch (e) {
      say(note, e.message, true);
    }
  };
  return el("div", { class: "card spaced", id: "pull", hidden: "" }, el("h2", {}, t("pull.title")), el("p", { id: "pull-state", class: "note" }), el("p", { id: "pull-error", class: "note bad" }),
    el("progress", { id: "pull-progress", max: "1", value: "0", "aria-label": t("pull.progress"), hidden: "" }), note,
    ...(role === "admin" ? [el("p", { class: "buttons" }, button(t("pull.go"), ask, { id: "pull-go" }))] : []));
}

// tellPull shows what the device does by itself.
function tellPull({ pull, offset, size, next }) {
  $("pull").hidden = !pull;
  if (!pull) return;
  const texts = [t(`pulling.${pull.state}`, { version: next?.version ?? "" })];
  if (pull.asked) texts.push(t("pull.asked", { time: when(pull.asked) }));
  if (pull.next) texts.push(t("pull.next", { time: when(pull.next) }));
  setText($("pull-state"), texts.join(" "));
  setText($("pull-error"), pull.error ? told(pull.code, pull.error) : "");
  const bar = $("pull-progress");
  bar.hidden = !(size > 0 && offset < size);
  bar.value = size ? offset / size : 0;
}

// tell shows the Status of the updater.
function tell(s) {
  if (!$("update-state")) return;
  const texts = [t("update.runs", { version: s.running.version || t("unknown"), slot: s.slot, state: t(`state.${s.state}`) })];
  if (s.state === "ready") texts.push(t("update.restart"));
  if (s.failed) texts.push(t("update.failed", { version: s.failed }));
  setText($("update-state"), texts.join(" "));
  tellPull(s);
}

async function send(image, signature) {
  const bar = $("progress"), note = $("update-note");
  bar.hidden = false;
  try {
    let s = await rest("POST", `/update?size=${image.size}`, undefined, { raw: signature, patience: 0 });
    while (s.offset < image.size && s.state !== "ready") {
      bar.value = s.offset / image.size;
      say(note, percent(s.offset / image.size));
      s = await next(image, s.offset);
    }
    bar.value = 1;
    say(note, t("update.ready", { version: s.next?.version ?? "" }));
  } catch (e) {
    say(note, "");
    bar.hidden = true;
    throw e;
  }
}

// next sends one piece. After a break it asks where to go on.
async function next(image, offset) {
  for (let tries = 0; ; tries++) {
    try {
      return await rest("PATCH", "/update", undefined, { raw: image.slice(offset, offset + piece), headers: { "Upload-Offset": offset }, patience: 0 });
    } catch (e) {
      if (!(e instanceof Failure) || e.status !== 0 || tries === 5) throw e;
      await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** tries));
      const s = await rest("GET", "/update").catch(() => null);
      if (s && s.size === image.size) return s;
    }
  }
}
