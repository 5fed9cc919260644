// What stands around every page: the state of the link, the banner while it is down, and the button for the theme.

import { $, setText } from "./dom.js";

const english = (name) => ({
  live: "Live",
  offline: "Offline",
  up: `The link to ${name} is up again.`,
  down: `The link to ${name} is down. The page keeps trying.`,
  next: (seconds) => `The figures below are old. Next try in ${seconds} s.`,
  trying: "Trying…",
});

// showLink has the page say how link is. name is what it leads to, such as "the device"; changed(up) is called when the link has
// come up or gone down. words are for a page in another language.
export function showLink(link, name, changed, words = english(name)) {
  let countdown = 0;

  const show = (state, words) => {
    $("status").dataset.link = state;
    setText($("status-text"), words);
    document.body.classList.toggle("stale", state === "down");
    changed(state === "up");
  };

  link.addEventListener("up", () => {
    clearInterval(countdown);
    show("up", words.live);
    if (!$("banner").hidden) setText($("announce"), words.up);
    $("banner").hidden = true;
  });

  link.addEventListener("down", (e) => {
    const at = Date.now() + e.detail.wait;
    const tick = () => {
      const left = Math.max(0, Math.ceil((at - Date.now()) / 1000));
      setText($("banner-text"), left ? words.next(left) : words.trying);
    };
    clearInterval(countdown);
    countdown = setInterval(tick, 250);
    tick();
    show("down", words.offline);
    if ($("banner").hidden) setText($("announce"), words.down);
    $("banner").hidden = false;
  });

  $("retry").addEventListener("click", () => link.retryNow());
}

const theme = $("theme"), system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
theme.addEventListener("click", () => {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("theme", chosen);
  } catch {
    // Storage is blocked: the choice lasts until the page is left.
  }
  showTheme();
});
system.addEventListener("change", showTheme);
showTheme();
