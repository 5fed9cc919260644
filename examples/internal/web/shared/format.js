// Numbers as people read them. Each function takes null for "unknown" and returns {text, unit}, or null for unknown.

const kinds = {
  binary: { step: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] },
  decimal: { step: 1000, units: ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"] },
};

function scaled(value, { step, units }) {
  if (value == null) return null;
  let i = 0;
  while (Math.abs(value) >= step * 0.9995 && i < units.length - 1) {
    value /= step;
    i++;
  }
  return { text: digits(value, i === 0), unit: units[i] };
}

// Three significant digits, whole below the first unit.
function digits(value, whole) {
  const size = Math.abs(value);
  return value.toFixed(whole || size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

export const bytes = (v) => scaled(v, kinds.binary);
export const rate = (v) => scaled(v, kinds.decimal);
export const percent = (v) => v == null ? null : { text: v.toFixed(v >= 99.95 ? 0 : 1), unit: "%" };
export const fixed = (v, decimals, unit = "") => v == null ? null : { text: v.toFixed(decimals), unit };
export const count = (v, unit = "") => v == null ? null : { text: Math.round(v).toLocaleString("en"), unit };

export const perSecond = (v) => v == null ? null : { text: v >= 9.95 ? count(v).text : v.toFixed(1), unit: "/s" };

export const join = (q) => q == null ? "n/a" : q.unit ? `${q.text}\u00a0${q.unit}` : q.text;

export function duration(seconds) {
  if (seconds == null) return "n/a";
  const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24, m = Math.floor(seconds / 60) % 60;
  const words = d > 0 ? `${d} d ${h} h` : h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min` : `${Math.floor(seconds)} s`;
  return words.replaceAll(" ", "\u00a0");
}

export const interval = (ms) => ms < 1000 ? `${ms}\u00a0ms` : `${+(ms / 1000).toFixed(2)}\u00a0s`;

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
