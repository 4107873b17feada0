/** Where we are is in the address: `#/jobs?state=running`, so that back, reload and links work. */

export interface Place { path: string[]; query: URLSearchParams }

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decoded),
    query: new URLSearchParams(query),
  };
}

function decoded(text: string): string {
  try { return decodeURIComponent(text); } catch { return text; }
}

export function hashOf(path: readonly string[], query: Record<string, string | null | undefined> = {}): string {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const text = new URLSearchParams(pairs).toString().replaceAll("%2C", ",");
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const here = (): Place => placeOf(location.hash);

export function go(hash: string): void { location.hash = hash; }

/** Changes the address without a step in the history: for filters that are typed. */
export function amend(hash: string): void {
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

export const links = {
  jobs: (query: Record<string, string | null | undefined> = {}) => hashOf(["jobs"], query),
  job: (id: string, part?: string, query: Record<string, string | null | undefined> = {}) =>
    hashOf(part ? ["jobs", id, part] : ["jobs", id], query),
  fresh: (query: Record<string, string | null | undefined> = {}) => hashOf(["new"], query),
  compare: (ids: readonly string[]) => hashOf(["compare"], { ids: ids.join(",") }),
  service: (part?: string) => hashOf(part ? ["service", part] : ["service"]),
};
