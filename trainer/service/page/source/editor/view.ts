/** Writing a spec: told of each mistake as one types, and of what it will take. */

import { Away, Refused, api, randomKey } from "../api";
import { button, debounced, fill, h, set } from "../dom";
import { complain, notify } from "../notice";
import { go, links, type Place } from "../router";
import type { Checked, Who } from "../types";
import type { View } from "../view";
import { Code } from "./code";
import { Options } from "./options";
import { Panel } from "./panel";
import { SchemaMap, type Schema } from "./schema";
import { TEMPLATES } from "./templates";
import { sourceIn, upload } from "./upload";

const schemas = new Map<string, SchemaMap>();
const isSweep = (text: string): boolean => /^space\s*:/m.test(text);

let loading: Promise<void> | null = null;

function loadSchemas(): Promise<void> {
  loading ??= askForSchemas().finally(() => { loading = null; });
  return loading;
}

async function askForSchemas(): Promise<void> {
  for (const kind of ["train", "sweep"] as const) {
    if (schemas.has(kind)) continue;
    // without one there is no completion; all else works
    try { schemas.set(kind, new SchemaMap(await api.schema(kind) as Schema)); } catch { return; }
  }
}

export function openEditor(place: Place, who: Who): View {
  const from = place.query.get("from");
  const template = TEMPLATES.find(({ key }) => key === place.query.get("template")) ?? TEMPLATES[0]!;
  const draft = `trainer.draft:${from ?? place.query.get("template") ?? ""}`;
  const kept = sessionStorage.getItem(draft);
  let key = randomKey();
  let asked: AbortController | null = null;
  let sending = false;

  const options = new Options(() => { key = randomKey(); checking.soon(); });
  const code = new Code(kept ?? (from ? "" : template.text),
    (text) => schemas.get(isSweep(text) ? "sweep" : "train") ?? null, async () => { await loading; },
    { changed, submit: () => void submit() });
  const panel = new Panel((mistake) => code.goTo(mistake));
  const send = button("Submit", { class: "primary", title: "Ctrl Enter" }, () => void submit());
  send.append(h("kbd", {}, "Ctrl ↵"));
  const checking = debounced(() => void check(), 350);

  const picker = h("input", { type: "file", class: "hidden", tabindex: "-1", "aria-label": "Data file" });
  const sent = h("div", { class: "sending", role: "status", hidden: true });
  picker.addEventListener("change", () => { if (picker.files?.[0]) void addData(picker.files[0]); });
  const add = button("Add data", { icon: "file", title: "Send a CSV, Parquet, … file, or drop it here" }, () => picker.click());

  function changed(): void {
    key = randomKey(); // another text is another request; the same text sent twice is one job
    sessionStorage.setItem(draft, code.text);
    options.isSweep(isSweep(code.text));
    checking.soon();
  }

  async function check(): Promise<Checked | null> {
    checking.drop();
    asked?.abort();
    const asking = asked = new AbortController();
    panel.busy();
    try {
      const checked = await api.check(code.text, options.checked, asking.signal);
      if (asked !== asking) return null;
      code.mark(checked.valid ? [] : checked.errors ?? []);
      panel.show(checked);
      return checked;
    } catch (error) {
      if ((error as Error).name === "AbortError") return null;
      panel.fail((error as Error).message);
      return null;
    }
  }

  async function submit(): Promise<void> {
    if (sending) return;
    sending = true;
    set(send, "aria-busy", "true");
    try {
      const told = await api.submit(code.text, { ...options.wanted, parent: from }, key);
      sessionStorage.removeItem(draft);
      notify(told.job.known ? "This was trained before: here is what came out." : "Submitted.");
      go(links.job(told.job.id));
    } catch (error) {
      if (error instanceof Refused && error.mistakes.length) {
        code.mark(error.mistakes);
        panel.show({ valid: false, errors: error.mistakes });
        const first = error.mistakes.find((mistake) => mistake.line);
        if (first) code.goTo(first);
      } else complain(error instanceof Away ? new Error(`${error.message} Submitting again makes no second job.`) : error);
    } finally {
      sending = false;
      set(send, "aria-busy", null);
    }
  }

  async function addData(file: File): Promise<void> {
    const stop = new AbortController();
    const bar = h("progress", { max: 1, value: 0, "aria-label": file.name });
    const words = h("span", {});
    sent.hidden = false;
    fill(sent, words, bar, button("Stop", { class: "plain" }, () => stop.abort()));
    try {
      const told = await upload(file, (doing, part) => {
        words.textContent = `${doing} ${file.name} `;
        bar.value = part;
      }, stop.signal);
      const { from: start, to, insert } = sourceIn(code.text, told);
      code.replace(start, to, insert);
      code.focus();
    } catch (error) { complain(error); }
    sent.hidden = true;
    picker.value = "";
  }

  const body = h("section", { class: "editor-view" },
    h("div", { class: "line" }, h("h1", {}, from ? "Clone and edit" : "New job"),
      from ? h("a", { href: links.job(from) }, "back to the job it comes from") : null),
    from ? null : h("nav", { class: "templates", "aria-label": "To begin with" }, TEMPLATES.map((one) =>
      h("a", { href: links.fresh({ template: one.key }), title: one.about,
        "aria-current": one === template ? "true" : null },
      h("strong", {}, one.title), h("span", { class: "soft" }, one.about)))),
    h("div", { class: "writing" },
      h("div", { class: "written" }, code.element,
        h("p", { class: "soft small", id: "editor-help" },
          "Ctrl Space tells what could stand here; Esc, then Tab leaves the editor.")),
      h("div", { class: "beside" },
        h("div", { class: "sticky" }, h("div", { class: "submit" }, send, add, picker, options.element), sent, panel.element))));

  code.element.addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
  code.element.addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    event.stopPropagation();
    void addData(file);
  }, true);

  async function begin(): Promise<void> {
    void loadSchemas();
    if (from && kept === null) {
      try { code.text = await api.spec(from); } catch (error) { complain(error); }
    }
    options.isSweep(isSweep(code.text));
    await check();
  }
  send.disabled = add.disabled = who.role === "reader";
  void begin();
  queueMicrotask(() => { if (matchMedia("(pointer: fine)").matches) code.focus(); });
  return {
    title: from ? "Clone and edit" : "New job",
    body,
    moved: (to) => to.query.get("from") === from && to.query.get("template") === place.query.get("template"),
    close: () => { checking.drop(); asked?.abort(); code.close(); },
  };
}
