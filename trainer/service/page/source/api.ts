/** Asks the service, and tells its refusals in its own words. */

import type {
  About, AuditEntry, Checked, Job, JobPage, Kind, Mistake, Role, RunFile, Series, Token, Who,
} from "./types";

/** The service said no: `message` is what it said. */
export class Refused extends Error {
  constructor(
    readonly status: number, readonly kind: string, message: string,
    readonly mistakes: Mistake[] = [],
  ) { super(message); }
}

/** The service could not be asked at all. */
export class Away extends Error {
  constructor() { super("The service cannot be reached. What you wrote is kept here; try again."); }
}

type Query = Record<string, string | number | boolean | null | undefined | readonly string[]>;
interface Request {
  query?: Query;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

let signedOut = (): void => {};
/** What happens when the service no longer knows who asks. */
export function whenSignedOut(act: () => void): void { signedOut = act; }

export function address(path: string, query: Query = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) value.forEach((one: string) => pairs.append(name, one));
    else if (value !== null && value !== undefined && value !== "") pairs.set(name, String(value));
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

/** Sends a request. Raises `Refused`, or `Away`; what was given up (`signal`) raises AbortError. */
export async function send(method: string, path: string, request: Request = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...request.headers };
  let body = request.body;
  if (request.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(request.json);
  }
  let response: Response;
  try {
    response = await fetch(address(path, request.query), {
      method, headers, body, signal: request.signal, credentials: "same-origin", cache: "no-store",
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Away();
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  if (refused.status === 401 && path !== "/session") signedOut();
  throw refused;
}

async function refusal(response: Response): Promise<Refused> {
  const text = await response.text().catch(() => "");
  try {
    const told = JSON.parse(text) as { error?: string; message?: string; errors?: Mistake[] };
    if (told.message) {
      return new Refused(response.status, told.error ?? "", told.message, told.errors ?? []);
    }
  } catch { /* a proxy in between answers in HTML */ }
  const words = `The service answered ${response.status} ${response.statusText}`.trim();
  return new Refused(response.status, "", `${words}.`);
}

async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await send("GET", path, { query, signal })).json() as Promise<T>;
}

async function maybe(response: Promise<Response>): Promise<unknown> {
  const text = await (await response).text();
  return text ? JSON.parse(text) : null;
}

export interface Wanted { kind?: Kind; folds?: number; priority?: number; again?: boolean; parent?: string | null }
const YAML = { "Content-Type": "application/yaml" };
const job = (id: string): string => `/jobs/${encodeURIComponent(id)}`;

export const api = {
  who: () => get<Who>("/session"),
  logIn: async (by: { code: string } | { token: string }) =>
    (await send("POST", "/session", { json: by })).json() as Promise<Who>,
  logOut: () => send("DELETE", "/session"),
  about: () => get<About>("/service"),
  drain: () => send("POST", "/service/drain"),
  schema: (kind: "train" | "sweep") => get<Record<string, unknown>>("/schema", { kind }),

  /** What is wrong with a spec, or what it would take. */
  check: async (text: string, wanted: Wanted, signal?: AbortSignal): Promise<Checked> => {
    try {
      const query = { ...wanted } as Query;
      const asked = await send("POST", "/check", { query, body: text, headers: YAML, signal });
      return await asked.json() as Checked;
    } catch (error) {
      if (error instanceof Refused && error.status === 422) {
        return { valid: false, errors: error.mistakes.length ? error.mistakes : [{ message: error.message }] };
      }
      throw error;
    }
  },
  /** Queues a spec, once for each `key`; `fresh` is false where it was there before. */
  submit: async (text: string, wanted: Wanted, key: string): Promise<{ job: Job; fresh: boolean }> => {
    const response = await send("POST", "/jobs", {
      query: { ...wanted } as Query, body: text, headers: { ...YAML, "Idempotency-Key": key },
    });
    const told = await response.json() as Job & { job?: Job };
    return { job: told.job ?? told, fresh: response.status === 201 };
  },

  jobs: (query: Query, signal?: AbortSignal) => get<JobPage>("/jobs", query, signal),
  job: async (id: string): Promise<Job> => {
    const told = await get<Job & { job?: Job }>(job(id));
    return told.job ?? told;
  },
  prioritize: (id: string, priority: number) => send("PATCH", job(id), { json: { priority } }),
  cancel: (id: string) => maybe(send("POST", `${job(id)}/cancel`)),
  pause: (id: string) => maybe(send("POST", `${job(id)}/pause`)),
  resume: (id: string) => maybe(send("POST", `${job(id)}/resume`)),
  spec: async (id: string) =>
    (await send("GET", `${job(id)}/spec`, { headers: { Accept: "text/yaml" } })).text(),
  resolved: (id: string) => get<Record<string, unknown>>(`${job(id)}/resolved`),
  changes: async (id: string): Promise<unknown[]> => listed(await get(`${job(id)}/changes`), "changes"),
  curves: async (id: string): Promise<Series> => {
    const told = await get<Series & { series?: Series }>(`${job(id)}/curves`);
    return (told.series && !Array.isArray(told.series) ? told.series : told) as Series;
  },
  run: (id: string) => get<Record<string, unknown>>(`${job(id)}/run`),
  files: async (id: string): Promise<RunFile[]> => {
    const told = listed(await get(`${job(id)}/files`), "files");
    return told.map((file) => typeof file === "string" ? { path: file } : file as RunFile);
  },
  file: (id: string, path: string) =>
    `${job(id)}/files/${path.split("/").map(encodeURIComponent).join("/")}`,

  tokens: async (): Promise<Token[]> => listed(await get("/tokens"), "tokens") as Token[],
  addToken: async (token: { name: string; user: string; role: Role; all: boolean; days: number | null }) =>
    (await send("POST", "/tokens", { json: token })).json() as Promise<{ token: string }>,
  revoke: (name: string) => send("DELETE", `/tokens/${encodeURIComponent(name)}`),
  audit: async (after?: number): Promise<AuditEntry[]> =>
    listed(await get("/audit", { after }), "entries") as AuditEntry[],
};

/** A list, whether it comes alone or under its name. */
function listed(told: unknown, name: string): unknown[] {
  if (Array.isArray(told)) return told;
  const found = (told as Record<string, unknown> | null)?.[name];
  return Array.isArray(found) ? found : [];
}

/** A random key; `crypto.randomUUID` is only there on secure origins, this everywhere. */
export function randomKey(): string {
  const values = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");
}
