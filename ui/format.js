// Numbers and times for people. Exact decimals come as text and are only rounded for show.

const numbers = new Map();

function formatter(options) {
  const key = JSON.stringify(options);
  if (!numbers.has(key)) numbers.set(key, new Intl.NumberFormat(undefined, options));
  return numbers.get(key);
}

/** Nothing to show. */
export const NONE = "–";

export const isNone = (value) => value === null || value === undefined || value === "";

/** A number, or the text of a decimal, with at most `digits` digits behind the point; exactly so many where `all`. */
export function number(value, digits = 0, all = false) {
  const options = { maximumFractionDigits: digits, ...(all ? { minimumFractionDigits: digits } : {}) };
  return isNone(value) ? NONE : formatter(options).format(value);
}

/** An amount with two digits; in a currency where one is named. */
export function money(value, currency) {
  if (isNone(value)) return NONE;
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return formatter(currency ? { style: "currency", currency, ...digits } : digits).format(value);
}

/** 1 234 567 as 1.2M, for axes. */
export function compact(value, currency) {
  const style = currency ? { style: "currency", currency } : {};
  return isNone(value) ? NONE : formatter({ notation: "compact", maximumFractionDigits: 1, ...style }).format(value);
}

export function percent(share, digits = 1) {
  return isNone(share) ? NONE : formatter({ style: "percent", maximumFractionDigits: digits }).format(share);
}

export function bytes(value) {
  if (isNone(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = Number(value), unit = 0;
  while (Math.abs(size) >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${number(size, unit ? 1 : 0)} ${units[unit]}`;
}

/** A span in seconds. */
export function duration(seconds) {
  if (isNone(seconds)) return NONE;
  const s = Number(seconds);
  if (Math.abs(s) < 1) return `${number(s * 1000)} ms`;
  if (Math.abs(s) < 60) return `${number(s, 1)} s`;
  if (Math.abs(s) < 3600) return `${number(Math.floor(s / 60))} min ${number(Math.floor(s % 60))} s`;
  if (Math.abs(s) < 86400) return `${number(Math.floor(s / 3600))} h ${number(Math.floor(s % 3600 / 60))} min`;
  return `${number(Math.floor(s / 86400))} d ${number(Math.floor(s % 86400 / 3600))} h`;
}

let zone = localStorage.getItem("zone") === "local" ? undefined : "UTC";

export const isUtc = () => zone === "UTC";

export function setUtc(utc) {
  zone = utc ? "UTC" : undefined;
  localStorage.setItem("zone", utc ? "utc" : "local");
}

const DATE = { year: "numeric", month: "2-digit", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

const moment = (value, options) =>
  isNone(value) ? NONE : new Intl.DateTimeFormat(undefined, { ...options, timeZone: zone }).format(new Date(value));

/** Date and time to the second; `value`: ISO 8601 or milliseconds. */
export const time = (value) => moment(value, { ...DATE, ...CLOCK, second: "2-digit" });

/** The time of day; `seconds` adds them. */
export const clock = (value, seconds = false) => moment(value, seconds ? { ...CLOCK, second: "2-digit" } : CLOCK);

export const date = (value) => moment(value, DATE);

/** How long ago something was. */
export const ago = (value) => (isNone(value) ? NONE : `${duration(Math.max(0, (Date.now() - new Date(value)) / 1000))} ago`);
