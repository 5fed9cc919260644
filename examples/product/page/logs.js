// The log: what is kept, and what comes.

import { el } from "./shared/dom.js";
import { Pane } from "./shared/pane.js";
import { ask } from "./api.js";
import { follow } from "./live.js";
import { button, choice, failure } from "./ui.js";
import { clock, many, t, when } from "./words.js";

const most = 500; // lines on the page
const levels = ["debug", "info", "warn", "error"];
const rank = (level) => Math.max(0, levels.findIndex((l) => level.toLowerCase().startsWith(l)));

export async function show(section) {
  const list = el("ol", { id: "log", class: "log tall", tabindex: "0", "aria-label": t("logs") });
  const latest = el("button", { class: "button log-latest", type: "button", hidden: "" });
  const level = choice({ id: "log-level", "aria-label": t("log.level") }, levels.map((l) => [l, t(`level.${l}`)]));
  const text = el("input", { id: "log-text", type: "search", "aria-label": t("log.text"), placeholder: t("log.text"), spellcheck: "false", autocomplete: "off" });
  const error = failure(), nothing = el("p", { class: "nothing muted", hidden: "" });
  const save = el("a", { class: "button", id: "log-save", download: "" }, t("download"));
  let last = 0, paused = false, waiting = 0, loading = 0;

  const query = () => `level=${level.value}&contains=${encodeURIComponent(text.value)}`;
  const isWanted = (raw, line) => rank(line.level) >= rank(level.value) && raw.toLowerCase().includes(text.value.toLowerCase());
  const pause = button(t("log.pause"), () => {
    paused = !paused;
    waiting = 0;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? t("log.go") : t("log.pause");
    if (!paused) load();
  }, { id: "log-pause", "aria-pressed": "false" });
  level.value = "info";

  section.replaceChildren(el("article", { class: "card" },
    el("div", { class: "tools" }, text, level, pause, save), error,
    el("div", { class: "log-frame" }, list, nothing, latest)));
  const pane = new Pane(list, latest, most, { newest: t("log.newest"), unseen: (n) => many("log.unseen", n) });

  const showNothing = () => {
    nothing.hidden = list.children.length > 0;
    nothing.textContent = text.value || level.value !== "debug" ? t("log.nothing") : t("log.empty");
  };

  // load shows the lines that the device keeps.
  async function load() {
    const mine = ++loading;
    save.href = `/logs?download&${query()}`;
    try {
      const reply = await (await ask("GET", `/logs?limit=${most}&${query()}`)).text();
      if (mine !== loading) return;
      const lines = reply.split("\n").filter(Boolean).map((l) => JSON.parse(l));
      last = lines.at(-1)?.n ?? 0;
      pane.clear();
      pane.append(lines.map(row));
      error.textContent = "";
    } catch (e) {
      error.textContent = e.message;
    }
    showNothing();
  }

  let timer = 0;
  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(load, 200);
  });
  level.addEventListener("change", load);
  await load();
  return follow("logs", (line) => {
    if (!(line.n > last) || !isWanted(JSON.stringify(line), line)) return;
    if (paused) {
      pause.textContent = many("log.go.on", ++waiting);
      return;
    }
    last = line.n;
    pane.append([row(line)]);
    showNothing();
  });
}

// row shows a line: its time, level and message, and the rest as NAME=VALUE.
function row({ n, time, level, msg, ...rest }) {
  const more = Object.entries(rest).filter(([, v]) => v !== "").map(([name, v]) => `${name}=${typeof v === "string" ? v : JSON.stringify(v)}`).join("  ");
  return el("li", { "data-level": level, translate: "no" }, el("time", { datetime: time, title: when(time) }, clock(time)),
    el("span", { class: "level" }, level), el("span", { class: "text" }, msg, el("span", { class: "rest" }, more && `  ${more}`)));
}
