/** Colours and indentation for YAML as specs use it: line by line, as they have no texts of several lines. */

import { RangeSetBuilder, type Extension } from "@codemirror/state";
import {
  Decoration, ViewPlugin, type Command, type DecorationSet, type EditorView, type ViewUpdate,
} from "@codemirror/view";

const TOKENS = new RegExp([
  /(?<comment>(?<=^|\s)#.*)/,
  /(?<key>(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#:{}[\],&*!|>'"%@`-][^#:{}[\],]*?|-[^\s#:,{}[\]]+)(?=\s*:(?:\s|$)))/,
  /(?<string>"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?)/,
  /(?<mark>[{}[\],:]|(?<=^\s*(?:- +)*)-(?=\s|$))/,
  /(?<word>[^\s{}[\],:#"']+(?:[:#][^\s{}[\],:#"']+)*)/,
].map((part) => part.source).join("|"), "g");
const NUMBER = /^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/;
const ATOM = /^(true|false|null|~)$/;

const MARKS = new Map(["comment", "key", "string", "mark", "number", "atom"].map((name) =>
  [name, Decoration.mark({ class: `tok-${name}` })]));

function coloured(view: EditorView): DecorationSet {
  const marks = new RangeSetBuilder<Decoration>();
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to;) {
      const line = view.state.doc.lineAt(at);
      for (const found of line.text.matchAll(TOKENS)) {
        const [name = "", text = ""] = Object.entries(found.groups ?? {}).find(([, part]) => part !== undefined) ?? [];
        const kind = name === "word" ? (NUMBER.test(text) ? "number" : ATOM.test(text) ? "atom" : "") : name;
        const mark = MARKS.get(kind);
        if (mark) marks.add(line.from + found.index, line.from + found.index + text.length, mark);
      }
      at = line.to + 1;
    }
  }
  return marks.finish();
}

export const yamlColours: Extension = ViewPlugin.fromClass(class {
  decorations: DecorationSet;
  constructor(view: EditorView) { this.decorations = coloured(view); }
  update(update: ViewUpdate): void {
    if (update.docChanged || update.viewportChanged) this.decorations = coloured(update.view);
  }
}, { decorations: (plugin) => plugin.decorations });

/** Enter keeps the indentation; after a key without a value the next line is further in. */
export const newLine: Command = ({ state, dispatch }) => {
  if (state.readOnly) return false;
  const { main } = state.selection;
  const line = state.doc.lineAt(main.from);
  const before = line.text.slice(0, main.from - line.from);
  const indent = /^\s*/.exec(before)![0];
  const item = /^\s*((?:- +)+)\S/.exec(before)?.[1] ?? ""; // within an item: below its first key
  const deeper = /:\s*(#.*)?$/.test(before) ? "  " : "";
  const insert = `${state.lineBreak}${indent}${" ".repeat(item.length)}${deeper}`;
  dispatch(state.update({
    changes: { from: main.from, to: main.to, insert },
    selection: { anchor: main.from + insert.length },
    scrollIntoView: true, userEvent: "input",
  }));
  return true;
};
