/** The editor for specs: CodeMirror with YAML, its styles allowed by the nonce of the page. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";

import { h } from "../dom";
import { inline } from "../prose";
import type { Mistake } from "../types";
import { complete, meanings, type SchemaOf } from "./complete";
import { newLine, yamlColours } from "./yaml";

const nonce = document.querySelector<HTMLMetaElement>("meta[name=style-nonce]")?.content ?? "";

const look: Extension = [
  EditorView.cspNonce.of(nonce),
  lineNumbers(),
  yamlColours,
  EditorView.lineWrapping,
];

/**
 * What is typed over a selection is put in by the editor. Left to itself, Chromium joins the lines
 * with styles in attributes, which the page's policy refuses and reports.
 */
const typedOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { main } = view.state.selection;
    if (event.inputType !== "insertText" || event.data === null || main.empty || view.composing) return false;
    const text = event.data;
    const put = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type" });
    const taken = view.state.facet(EditorView.inputHandler).some((handle) => handle(view, main.from, main.to, text, put));
    if (!taken) view.dispatch(put());
    event.preventDefault();
    return true;
  },
});

export class Code {
  readonly element = h("div", { class: "code editor" });
  private readonly view: EditorView;

  /** `arrived` is done when schemas that are on their way are there. */
  constructor(text: string, schemaOf: SchemaOf, arrived: () => Promise<void>,
    private readonly acts: { changed(): void; submit(): void }) {
    const own = [
      { key: "Mod-Enter", run: () => { this.acts.submit(); return true; } },
      { key: "Ctrl-Enter", run: () => { this.acts.submit(); return true; } },
    ];
    this.view = new EditorView({
      parent: this.element,
      state: EditorState.create({ doc: text, extensions: [
        keymap.of([...own, ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap,
          { key: "Enter", run: newLine }, ...historyKeymap, ...defaultKeymap, indentWithTab]),
        look,
        history(), drawSelection(), closeBrackets(), highlightActiveLine(),
        autocompletion({ override: [complete(schemaOf, arrived)], icons: false, activateOnTyping: true }),
        meanings(schemaOf),
        typedOver,
        EditorView.contentAttributes.of({ "aria-label": "The spec, in YAML", "aria-describedby": "editor-help",
          spellcheck: "false", autocapitalize: "off" }),
        EditorView.updateListener.of((update) => { if (update.docChanged) this.acts.changed(); }),
      ] }),
    });
  }

  get text(): string { return this.view.state.doc.toString(); }

  /** Another text, as one step that can be undone. */
  set text(text: string) {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
  }

  replace(from: number, to: number, insert: string): void {
    this.view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length }, scrollIntoView: true });
  }

  focus(): void { this.view.focus(); }

  /** Goes to a mistake. */
  goTo(mistake: Mistake): void {
    const { from } = this.span(mistake);
    this.view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    this.view.focus();
  }

  /** Marks mistakes at their places. */
  mark(mistakes: readonly Mistake[]): void {
    const marks = mistakes.filter((mistake) => mistake.line).map((mistake): Diagnostic => ({
      ...this.span(mistake),
      severity: "error",
      message: mistake.message,
      renderMessage: () => h("div", { class: "mistake" },
        mistake.path && h("code", {}, mistake.path), " ", mistake.message,
        mistake.hint && h("p", { class: "hint" }, inline(mistake.hint))),
    }));
    this.view.dispatch(setDiagnostics(this.view.state, marks.sort((a, b) => a.from - b.from)));
  }

  close(): void { this.view.destroy(); }

  /** The word at which a mistake is. */
  private span({ line, column, width }: Mistake): { from: number; to: number } {
    const { doc } = this.view.state;
    const at = doc.line(Math.min(Math.max(line ?? 1, 1), doc.lines));
    const from = Math.min(at.from + Math.max(0, (column ?? 1) - 1), at.to);
    const word = /^("[^"]*"?|'[^']*'?|[^\s,:}\]#]+|\S)/.exec(at.text.slice(from - at.from))?.[0].length ?? 0;
    const to = Math.min(from + (width ?? Math.max(word, 1)), at.to);
    return from === to && from > at.from ? { from: from - 1, to } : { from, to };
  }
}

/** A text to be read, with the same colours. */
export function readOnly(text: string, label: string): HTMLElement {
  const element = h("div", { class: "code-box" });
  new EditorView({ parent: element, state: EditorState.create({ doc: text, extensions: [
    look, EditorState.readOnly.of(true), EditorView.editable.of(false),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
  ] }) });
  return element;
}
