// The words of the page in the language that early.js has chosen, and numbers and dates as that language writes them.

const lang = document.documentElement.lang;
const words = await fetch(`lang/${lang}.json`).then((r) => r.json());
const locale = navigator.languages.find((l) => l.toLowerCase().startsWith(lang)) ?? lang; // en-GB has other dates than en-US

const fromRight = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc]/;

// isolated keeps a name that is written from right to left from turning round the text beside it.
const isolated = (text) => fromRight.test(text) ? `\u2068${text}\u2069` : text;

// t returns the text of a key. {name} in it stands for values.name.
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => isolated(values[name] ?? all));
}

const plural = new Intl.PluralRules(locale);

// many returns the text of KEY.one, KEY.other and so on, as the language wants it for n.
export const many = (key, n) => t(`${key}.${plural.select(n)}`, { n: number(n) });

// declared returns a text of the declaration, such as a help, in the language of the page. A text that the language's file does not
// have stays as it is.
export const declared = (text) => words[`declared:${text}`] ?? text;

// told returns the text of an error by its code. An error without a code is one of the program, and declared there.
export const told = (code, text, values = {}) => words[`error:${code}`] ? t(`error:${code}`, values) : declared(text);

const numbers = new Intl.NumberFormat(locale, { maximumFractionDigits: 3 });
export const number = (v) => numbers.format(v);

const percents = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
export const percent = (part) => percents.format(part);

const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

// size is a number of bytes as people read it. per is "" or "-per-second".
export function size(bytes, per = "") {
  let i = 0;
  for (; bytes >= 999.5 && i < units.length - 1; i++) bytes /= 1000;
  const digits = i === 0 || bytes >= 99.95 ? 0 : 1;
  return new Intl.NumberFormat(locale, { style: "unit", unit: units[i] + per, unitDisplay: i || per ? "short" : "long", maximumFractionDigits: digits }).format(bytes);
}

// span is a number of seconds, in its two largest units.
export function span(seconds) {
  const parts = [["day", Math.floor(seconds / 86400)], ["hour", Math.floor(seconds / 3600) % 24], ["minute", Math.floor(seconds / 60) % 60], ["second", Math.floor(seconds) % 60]];
  const first = Math.max(0, parts.findIndex(([, n]) => n > 0)), from = seconds < 1 ? 3 : first;
  return parts.slice(from, from + 2).map(([unit, n]) =>
    new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: unit === "day" ? "long" : "short" }).format(n)).join(" ");
}

const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
export const when = (time) => dates.format(new Date(time));

const days = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
export const day = (time) => days.format(new Date(time));

const clocks = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
export const clock = (time) => clocks.format(new Date(time));

// translate fills in the words of what is in the document already: data-t is the key of the text, data-t-NAME that of an attribute.
function translate() {
  for (const n of document.querySelectorAll("[data-t]")) n.textContent = t(n.dataset.t);
  for (const name of ["aria-label"]) {
    for (const n of document.querySelectorAll(`[data-t-${name}]`)) n.setAttribute(name, t(n.getAttribute(`data-t-${name}`)));
  }
}
translate();
