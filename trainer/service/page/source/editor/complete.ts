/** What could stand here, and what it means: completion and hover, from the spec's JSON Schema. */

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { hoverTooltip, type EditorView, type Tooltip } from "@codemirror/view";
import type { Extension } from "@codemirror/state";

import { h } from "../dom";
import { inLine } from "../format";
import { inline } from "../prose";
import { contextAt, type Context } from "./context";
import { kindOf, type Schema, type SchemaMap } from "./schema";

export type SchemaOf = (text: string) => SchemaMap | null;

/**
 * Completions at the cursor, once a schema that is on its way is there. A document's own text says
 * whether it is a sweep.
 */
export function complete(schemaOf: SchemaOf, arrived: () => Promise<void>) {
  return (asked: CompletionContext): CompletionResult | null | Promise<CompletionResult | null> => {
    const text = asked.state.doc.toString();
    const schema = schemaOf(text);
    if (schema) return offered(asked, text, schema);
    return arrived().then(() => {
      const late = schemaOf(text);
      return late && !asked.aborted ? offered(asked, text, late) : null;
    });
  };
}

function offered(asked: CompletionContext, text: string, schema: SchemaMap): CompletionResult | null {
  const context = contextAt(text, asked.pos);
  if (!asked.explicit && context.from === asked.pos && context.kind === "key") return null;
  const found = schema.at(context);
  const options = context.kind === "key" ? keys(schema, found, context) : values(schema, found);
  return options.length ? { from: context.from, options, validFor: /^[\w.-]*$/ } : null;
}

function keys(schema: SchemaMap, found: readonly Schema[], context: Context): Completion[] {
  const made = new Map<string, Completion>();
  for (const mapping of found) {
    for (const [name, property] of Object.entries(mapping.properties ?? {})) {
      if (context.seen.has(name) || made.has(name)) continue;
      const kinds = schema.plain(property);
      const required = mapping.required?.includes(name) ?? false;
      made.set(name, {
        label: name,
        type: "property",
        detail: short(kindOf(kinds)),
        info: () => described(name, property, kinds, required),
        apply: inner(kinds) && !context.flow ? `${name}:` : `${name}: `,
        boost: required ? 2 : 0,
      });
    }
  }
  return [...made.values()];
}

const inner = (kinds: readonly Schema[]): boolean => kinds.every((kind) => Boolean(kind.properties));

function values(schema: SchemaMap, found: readonly Schema[]): Completion[] {
  const made = new Map<string, Completion>();
  const put = (label: string, of: Schema, detail = ""): void => {
    if (made.has(label)) return;
    const info = of.description ? () => paragraph(of.description!) : undefined;
    made.set(label, { label, type: "enum", detail, info });
  };
  for (const kind of found) {
    for (const value of kind.enum ?? []) put(scalar(value), kind);
    if (kind.const !== undefined) put(scalar(kind.const), kind);
    if (kind.type === "boolean") { put("true", kind); put("false", kind); }
    if (kind.properties && kind.required?.length) {
      const parts = kind.required.map((name) => {
        const fixed = schema.plain(kind.properties![name] ?? {}).find((one) => one.const !== undefined);
        return `${name}: ${fixed ? scalar(fixed.const) : ""}`;
      });
      put(`{${parts.join(", ").trimEnd()}}`, kind, kind.title ?? "");
    }
  }
  return [...made.values()];
}

const scalar = (value: unknown): string =>
  typeof value === "string" && /^[\w./-]+$/.test(value) ? value : JSON.stringify(value);

const short = (text: string): string => text.length > 44 ? `${text.slice(0, 42)}…` : text;

/** The meaning of the key under the pointer, or of the key whose value is under it. */
export function meanings(schemaOf: SchemaOf): Extension {
  return hoverTooltip((view: EditorView, at: number): Tooltip | null => {
    const text = view.state.doc.toString();
    const schema = schemaOf(text);
    const word = view.state.wordAt(at);
    if (!schema || !word) return null;
    const context = contextAt(text, word.from);
    const name = context.kind === "key" ? text.slice(word.from, word.to) : context.levels.findLast(
      (level) => typeof level.key === "string")?.key;
    if (typeof name !== "string" || /#/.test(text.slice(view.state.doc.lineAt(at).from, at))) return null;
    const levels = context.kind === "key" ? context.levels
      : context.levels.slice(0, context.levels.findLastIndex((level) => level.key === name));
    const mapping = schema.at({ ...context, levels, kind: "key", seen: context.kind === "key" ? context.seen
      : context.levels.find((level) => level.key === name)?.seen ?? new Map() });
    const [property] = schema.below(mapping, name);
    if (!property) return null;
    const required = mapping.some((one) => one.required?.includes(name));
    return { pos: word.from, end: word.to, above: true,
      create: () => ({ dom: described(name, property, schema.plain(property), required) }) };
  }, { hoverTime: 350 });
}

function described(name: string, property: Schema, kinds: readonly Schema[], required: boolean): HTMLElement {
  const text = property.description ?? kinds.find((kind) => kind.description)?.description ?? "";
  return h("div", { class: "meaning" },
    h("p", {}, h("strong", {}, name), " ", h("span", { class: "soft" }, kindOf(kinds))),
    text && paragraph(text),
    h("p", { class: "soft" }, required ? "required"
      : property.default === undefined || property.default === null ? null : `default ${inLine(property.default)}`));
}

const paragraph = (text: string): HTMLElement => h("p", {}, inline(text.replaceAll("\n", " ")));
