/** Numbers, times and sizes as people read them. */

/** A number with some significant digits, as short as it may be: `0.0692`, `1.2e-7`, `12,400`. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) {
    return value.toExponential(Math.max(0, digits - 2)).replace("e+", "e");
  }
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

/** A number of an axis as pictures of runs have it: `0.01`, `20,000`, `10⁻⁵`, `2·10⁶`. */
export function power(value: number): string {
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e5)) return number(value, 3);
  const exponent = Math.floor(Math.log10(size) + 1e-9);
  const digits = Number((value / 10 ** exponent).toPrecision(3));
  const raised = String(exponent).replace(/[-\d]/g, (letter) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(letter)]!);
  return `${digits === 1 ? "" : `${digits}·`}10${raised}`;
}

export const count = (value: number): string => value.toLocaleString("en");

/** A count in few letters: `950`, `12.4k`, `3.1M`. */
export function compact(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["", "k", "M", "G", "T", "P"];
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${Number(value.toPrecision(3))}${units[unit]}`;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

/** A time span: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d`. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${Number(Math.max(0, seconds).toFixed(1))} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  if (hours >= 48) return `${Math.round(hours / 24)} d`;
  const minutes = Math.round((seconds % 3600) / 60);
  return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
}

/** How long ago, in a word that fits a column. */
export function age(time: number, now = Date.now() / 1000): string {
  const seconds = Math.max(0, now - time);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Date and time in the reader's own zone. */
export function moment(time: number | null | undefined): string {
  if (time === null || time === undefined) return "–";
  const date = new Date(time * 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `
    + `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export const short = (id: string): string => id.slice(0, 8);

/** A value of a spec in one line. */
export function inLine(value: unknown): string {
  if (value === undefined) return "–";
  if (typeof value === "string") return value;
  return JSON.stringify(value);
}

export const plural = (n: number, word: string, words = `${word}s`): string =>
  `${count(n)} ${n === 1 ? word : words}`;
