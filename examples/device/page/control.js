// The one control: how often the device samples itself.

import { $, setText } from "./shared/dom.js";
import { interval as words } from "./shared/format.js";

const steps = [200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000]; // ms: even to the eye, not to the clock
const slider = $("interval"), shown = $("interval-value"), note = $("interval-note");
let offered = steps, current = null, hide = 0;
let asked = null; // what the device was asked for and has not answered yet

// wire calls ask(ms) when the user chooses; ask reports whether it goes out.
export function wire(ask) {
  slider.addEventListener("input", () => show(offered[slider.value]));
  slider.addEventListener("change", () => {
    const ms = offered[slider.value];
    if (ms === (asked ?? current)) return;
    if (ask(ms)) asked = ms;
    else set(current);
  });
}

// limits takes the bounds that the device allows.
export function limits({ min, max }) {
  offered = [...new Set([min, ...steps.filter((ms) => ms > min && ms < max), max])];
  slider.max = offered.length - 1;
  setText($("interval-min"), words(min));
  setText($("interval-max"), words(max));
}

// set shows what the device does now; it may lie between two steps when something else than this page chose it. The slider
// does not go back under the user's hand for the answer to an earlier choice.
export function set(ms) {
  current = ms;
  if (ms == null || (asked !== null && asked !== ms)) return;
  asked = null;
  slider.value = offered.reduce((best, step, i) => Math.abs(step - ms) < Math.abs(offered[best] - ms) ? i : best, 0);
  show(ms);
}

export function enable(on) {
  slider.disabled = !on;
  asked = null; // an answer that was on its way is lost with the link
}

export function say(text, bad = false) {
  clearTimeout(hide);
  setText(note, text);
  note.classList.toggle("bad", bad);
  if (!bad) hide = setTimeout(() => setText(note, ""), 4000);
}

export function refused(text) {
  asked = null;
  set(current);
  say(text, true);
}

function show(ms) {
  setText(shown, words(ms));
  slider.setAttribute("aria-valuetext", words(ms).replace("ms", "milliseconds").replace(/\bs\b/, "seconds"));
}
