/** Finds its way in a JSON Schema: what may stand at a place in a spec, and what it means. */

import type { Context, Level } from "./context";

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  type?: string | string[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
  prefixItems?: Schema[];
  required?: string[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  description?: string;
  title?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
}

export class SchemaMap {
  constructor(private readonly root: Schema) {}

  /** What the mapping may be in which a key is written, or what the value may be. */
  at(context: Context): Schema[] {
    let found = this.plain(this.root);
    for (const level of context.levels) found = this.down(found, level);
    return context.kind === "key" ? fitting(found, context.seen) : found;
  }

  /** What the value of a key may be, whose mapping may be one of these. */
  below(schemas: readonly Schema[], key: string): Schema[] {
    return schemas.flatMap((schema) => {
      const own = schema.properties?.[key];
      const other = typeof schema.additionalProperties === "object" ? schema.additionalProperties : null;
      return own ?? other ? [own ?? other!] : [];
    });
  }

  /** The alternatives that a schema stands for, without references. */
  plain(schema: Schema, depth = 0): Schema[] {
    if (depth > 12) return [];
    if (schema.$ref) {
      const name = schema.$ref.replace("#/$defs/", "");
      const target = this.root.$defs?.[name];
      return target ? this.plain(target, depth + 1) : [];
    }
    const parts = schema.anyOf ?? schema.oneOf ?? schema.allOf;
    if (!parts) return [schema];
    const found = parts.flatMap((part) => this.plain(part, depth + 1));
    return schema.properties ? [schema, ...found] : found;
  }

  private down(schemas: readonly Schema[], level: Level): Schema[] {
    if (typeof level.key === "number") {
      const place = level.key;
      return schemas.flatMap((schema) => {
        const item = schema.prefixItems?.[place] ?? schema.items;
        return item ? this.plain(item) : [];
      });
    }
    return this.below(fitting(schemas, level.seen), level.key).flatMap((schema) => this.plain(schema));
  }
}

/** Of alternatives those that the keys which are there already leave possible; else all. */
function fitting(schemas: readonly Schema[], seen: ReadonlyMap<string, string>): Schema[] {
  const objects = schemas.filter((schema) => schema.properties || typeof schema.additionalProperties === "object");
  const told = objects.filter((schema) => [...seen].every(([key, value]) => {
    const own = schema.properties?.[key];
    if (!own) return schema.additionalProperties !== false;
    return own.const === undefined || !value || String(own.const) === value;
  }));
  return told.length ? told : objects;
}

/** What a value may be, in few words: `number > 0`, `true or false`, `'ema' or 'swa'`. */
export function kindOf(schemas: readonly Schema[]): string {
  const words = schemas.map((schema) => {
    if (schema.enum) return schema.enum.map((value) => inWords(value)).join(" | ");
    if (schema.const !== undefined) return inWords(schema.const);
    const type = Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type;
    if (type === "number" || type === "integer") return `${type === "integer" ? "whole number" : "number"}${bounds(schema)}`;
    if (type === "string") return "text";
    if (type === "boolean") return "true or false";
    if (type === "array") return "list";
    if (type === "object" || schema.properties) {
      const required = schema.required ?? [];
      return required.length ? `{${required.join(", ")}}` : "mapping";
    }
    return type === "null" ? "" : type ?? "";
  });
  return [...new Set(words.filter(Boolean))].join(", ");
}

const inWords = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value);

function bounds(schema: Schema): string {
  const parts = [
    schema.minimum !== undefined ? `≥ ${schema.minimum}` : "",
    schema.exclusiveMinimum !== undefined ? `> ${schema.exclusiveMinimum}` : "",
    schema.maximum !== undefined && schema.maximum < 1e15 ? `≤ ${schema.maximum}` : "",
    schema.exclusiveMaximum !== undefined && schema.exclusiveMaximum < 1e15 ? `< ${schema.exclusiveMaximum}` : "",
  ].filter(Boolean);
  return parts.length ? ` ${parts.join(", ")}` : "";
}
