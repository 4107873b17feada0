/** Specs compared key by key. */

/** All values by their path; a list of plain values is one value. */
export function flatten(value: unknown, path = "", into: Map<string, unknown> = new Map()): Map<string, unknown> {
  const inner = Array.isArray(value)
    ? value.some((one) => typeof one === "object" && one !== null) ? value.map((one, i) => [String(i), one] as const) : null
    : typeof value === "object" && value !== null ? Object.entries(value) : null;
  if (!inner || !inner.length) {
    if (path) into.set(path, value);
    return into;
  }
  for (const [key, one] of inner) {
    const quoted = /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
    flatten(one, path ? `${path}.${quoted}` : quoted, into);
  }
  return into;
}

export interface Difference { path: string; values: unknown[] }

/** The keys in which some specs differ, with the value of each, in the order of the first. */
export function differences(specs: readonly unknown[]): Difference[] {
  const flat = specs.map((spec) => flatten(spec));
  const paths = [...new Set(flat.flatMap((map) => [...map.keys()]))];
  return paths
    .map((path) => ({ path, values: flat.map((map) => map.get(path)) }))
    .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value) ?? "–")).size > 1);
}
