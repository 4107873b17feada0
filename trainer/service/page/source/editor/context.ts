/**
 * Where in a spec a position is: in which mapping, after which key, and what stands beside it.
 *
 * A spec that is being written is no YAML yet, so this reads lines by their indentation and, within
 * brackets, character by character. It is wrong about nothing but multi-line texts, which specs lack.
 */

export interface Level {
  /** The key, or the place in a list, that leads further. */
  key: string | number;
  /** Keys that stand in this mapping, with their values where these are plain. */
  seen: Map<string, string>;
}

export interface Context {
  levels: Level[];
  /** Keys of the innermost mapping. */
  seen: Map<string, string>;
  kind: "key" | "value";
  /** Where the word begins that is being written. */
  from: number;
  /** Within brackets. */
  flow: boolean;
}

interface Frame { indent: number; list: boolean; key: string | number; seen: Map<string, string> }

const KEY = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#:{}[\],&*!|>'"%@`-][^#:{}[\],]*?|-[^\s#:]+)\s*:(?=\s|$)/;
const bare = (text: string): string => text.trim().replace(/^(["'])(.*)\1$/, "$2");

export function contextAt(text: string, at: number): Context {
  const frames: Frame[] = [];
  let start = 0;
  for (;;) {
    const end = text.indexOf("\n", start) < 0 ? text.length : text.indexOf("\n", start);
    const line = text.slice(start, end);
    if (at <= end) return within(frames, text, start, at);
    if (!/^\s*(#|$)/.test(line)) {
      const value = openLine(frames, line);
      const opens = value < 0 ? -1 : line.slice(value).search(/[{[]/);
      if (opens >= 0 && /^\s*[{[]/.test(line.slice(value))) {
        const flow = readFlow(text, start + value + opens, at);
        if (!flow.closed) return inFlow(frames, flow);
        const after = text.indexOf("\n", flow.at);
        start = after < 0 ? text.length : after + 1;
        if (after < 0 || start > at) return within(frames, text, text.lastIndexOf("\n", at - 1) + 1, at);
        continue;
      }
    }
    start = end + 1;
  }
}

/** Takes a line into the frames; returns where its value begins, or -1 where it has none. */
function openLine(frames: Frame[], line: string): number {
  let column = line.length - line.trimStart().length;
  for (let item = /^-(\s+|$)/.exec(line.slice(column)); item; item = /^-(\s+|$)/.exec(line.slice(column))) {
    while (frames.length && frames.at(-1)!.indent > column) frames.pop();
    const top = frames.at(-1);
    if (top?.list && top.indent === column) top.key = Number(top.key) + 1;
    else frames.push({ indent: column, list: true, key: 0, seen: new Map() });
    column += item[0].length;
  }
  const found = KEY.exec(line.slice(column));
  if (!found) return line.slice(column) ? column : -1;
  const key = bare(found[1]!);
  closeTo(frames, column);
  const top = frames.at(-1);
  const value = line.slice(column + found[0].length).replace(/\s#.*$/, "").trim();
  if (top && !top.list && top.indent === column) {
    top.key = key;
    top.seen.set(key, bare(value));
  } else frames.push({ indent: column, list: false, key, seen: new Map([[key, bare(value)]]) });
  return column + found[0].length;
}

/** Leaves what a key at this column is not in. */
function closeTo(frames: Frame[], column: number): void {
  while (frames.length && (frames.at(-1)!.indent > column
    || (frames.at(-1)!.indent === column && frames.at(-1)!.list))) frames.pop();
}

/** The context on a line that is in no bracket at its start. */
function within(frames: Frame[], text: string, start: number, at: number): Context {
  const before = text.slice(start, at);
  const end = text.indexOf("\n", at) < 0 ? text.length : text.indexOf("\n", at);
  const comment = /(^|\s)#/.exec(before);
  if (!before.trim() || comment) return keyAt(frames, text, start, at, before.length, end);
  const copy = frames.map((frame) => ({ ...frame, seen: new Map(frame.seen) }));
  const value = openLine(copy, before);
  const rest = value < 0 ? "" : before.slice(value);
  const opens = rest.search(/[{[]/);
  if (value >= 0 && /^\s*[{[]/.test(rest)) {
    const flow = readFlow(text, start + value + opens, at);
    if (!flow.closed) return inFlow(copy, flow);
  }
  const word = /[^\s]*$/.exec(before)![0];
  const prefix = /^(\s*(-\s+)*)/.exec(before)![1]!;
  if (value >= 0 && value > prefix.length) {
    const top = copy.at(-1)!;
    return { levels: levelsOf(copy), seen: top.seen, kind: "value", from: at - word.length, flow: false };
  }
  // "- " alone, or a key that is being written after it
  const items = frames.map((frame) => ({ ...frame, seen: new Map(frame.seen) }));
  if (prefix.includes("-")) openLine(items, prefix);
  return keyAt(items, text, start, at - word.length, prefix.length, end);
}

/** A key is about to be written at this column: what it would stand in, and beside. */
function keyAt(frames: Frame[], text: string, _start: number, from: number, column: number, end: number): Context {
  const kept = [...frames];
  while (kept.length && kept.at(-1)!.indent > column) kept.pop();
  if (kept.at(-1)?.list && kept.at(-1)!.indent === column) kept.pop();
  const top = kept.at(-1);
  const beside = top && !top.list && top.indent === column ? kept.pop()! : null;
  const seen = new Map(beside?.seen ?? []);
  for (const line of text.slice(end + 1).split("\n")) { // keys further down, of the same mapping
    const indent = line.length - line.trimStart().length;
    if (!line.trim() || indent > column) continue;
    if (indent < column || line.trimStart().startsWith("- ")) break;
    const found = KEY.exec(line.trimStart());
    if (found) seen.set(bare(found[1]!), bare(line.trimStart().slice(found[0].length).replace(/\s#.*$/, "")));
  }
  return { levels: levelsOf(kept), seen, kind: "key", from, flow: false };
}

const levelsOf = (frames: readonly Frame[]): Level[] => frames.map(({ key, seen }) => ({ key, seen }));

interface Bracket { list: boolean; key: string | number; seen: Map<string, string>; value: boolean; word: number }
interface Flow { brackets: Bracket[]; closed: boolean; at: number; text: string }

/** Reads brackets from the first one on, until they are closed or `until`. */
function readFlow(text: string, from: number, until: number): Flow {
  const brackets: Bracket[] = [];
  let i = from;
  for (; i < until; i += 1) {
    const letter = text[i]!;
    const top = brackets.at(-1);
    if (letter === "{" || letter === "[") {
      brackets.push({ list: letter === "[", key: letter === "[" ? 0 : "", seen: new Map(), value: letter === "[", word: i + 1 });
    } else if (letter === "}" || letter === "]") {
      note(top, text, i);
      brackets.pop();
      if (!brackets.length) return { brackets, closed: true, at: i + 1, text };
    } else if (letter === "\"" || letter === "'") {
      const end = text.indexOf(letter, i + 1);
      if (end < 0 || end >= until) break;
      i = end;
    } else if (letter === "#" && /\s/.test(text[i - 1] ?? " ")) {
      i = Math.min(until, text.indexOf("\n", i) < 0 ? until : text.indexOf("\n", i)) - 1;
    } else if (top && letter === "," ) {
      note(top, text, i);
      if (top.list) top.key = Number(top.key) + 1;
      else top.value = false;
      top.word = i + 1;
    } else if (top && !top.list && letter === ":" && !top.value && /[\s,}\]]|$/.test(text[i + 1] ?? " ")) {
      top.key = bare(text.slice(top.word, i));
      top.value = true;
      top.word = i + 1;
    }
  }
  return { brackets, closed: false, at: i, text };
}

function note(bracket: Bracket | undefined, text: string, at: number): void {
  if (bracket && !bracket.list && bracket.value) bracket.seen.set(String(bracket.key), bare(text.slice(bracket.word, at)));
}

function inFlow(frames: readonly Frame[], flow: Flow): Context {
  const top = flow.brackets.at(-1)!;
  const outer = flow.brackets.slice(0, -1).map(({ key, seen }) => ({ key, seen }));
  const levels = [...levelsOf(frames), ...outer];
  const word = flow.text.slice(top.word, flow.at);
  const from = top.word + (word.length - word.trimStart().length);
  if (top.list || top.value) levels.push({ key: top.key, seen: top.seen });
  return { levels, seen: top.seen, kind: top.list || top.value ? "value" : "key", from, flow: true };
}
