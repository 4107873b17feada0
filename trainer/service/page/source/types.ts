/** What the service answers, as the page uses it. */

export const STATES = [
  "queued", "waiting", "running", "paused", "finished", "diverged", "failed", "cancelled",
] as const;
export type State = (typeof STATES)[number];
export type Kind = "train" | "sweep" | "crossval";
export type Role = "reader" | "submitter" | "admin";

export interface Cost {
  steps?: number | null;
  operations?: number | null;
  bytes?: number | null;
  seconds?: number | null;
}

export interface Job {
  id: string;
  number: number;
  user: string;
  name: string;
  kind: Kind;
  state: State;
  reason: string;
  wish: "cancel" | "pause" | null;
  priority: number;
  options: Record<string, unknown>;
  again: boolean;
  fingerprint: string | null;
  parent: string | null;
  run: string | null;
  known: boolean;
  attempt: number;
  step: number;
  epoch: number;
  epochs: number | null;
  metrics: Record<string, number>;
  cost: Cost;
  created: number;
  started: number | null;
  ended: number | null;
  seconds: number;
  digest: string;
  place?: number | null;
  links?: { self?: string; events?: string; mlflow?: string | null };
}

/** Points by name: `[[epoch, value], …]`; a value that is not finite is null. */
export type Series = Record<string, [number, number | null][]>;

export interface StateData { from: State | null; to: State; reason?: string; attempt?: number }
export interface ProgressData {
  epoch?: number;
  epochs?: number | null;
  step?: number;
  series?: Series;
  metrics?: Record<string, number>;
}

/** An event as the stream brings it. */
export interface Heard {
  number: number;
  job: string;
  time: number;
  kind: "state" | "progress" | "note";
  data: Record<string, unknown>;
}

/** A mistake in a spec, and where it is. */
export interface Mistake {
  file?: string | null;
  line?: number | null;
  column?: number | null;
  width?: number | null;
  path?: string;
  message: string;
  hint?: string | null;
}

export interface Layer { name: string; shape: unknown; parameters?: number | null; formula?: string }

export interface Checked {
  valid: boolean;
  errors?: Mistake[];
  kind?: Kind;
  name?: string;
  cost?: Cost;
  layers?: Layer[];
  resolved?: Record<string, unknown>;
  known?: string | null;
}

export interface JobPage { jobs: Job[]; next: string | null; total: number; counts: Partial<Record<State, number>> }
export interface Who { user: string; role: Role; all: boolean }

export interface Worker { name: string; kind: string; state: string; job: string | null }
export interface About {
  version?: string;
  workers: Worker[];
  counts: Partial<Record<State, number>>;
  draining: boolean;
  store?: unknown;
  tracking?: unknown;
  mlflow?: string | null;
}

export interface Token {
  name: string;
  user: string;
  role: Role;
  all: boolean;
  created: number;
  expires: number | null;
  revoked: number | null;
  used: number | null;
}

export interface AuditEntry {
  number: number;
  time: number;
  user: string;
  action: string;
  target: string;
  detail: Record<string, unknown>;
  hash: string;
}

export interface RunFile { path: string; size?: number | null }

export const OVER: readonly State[] = ["finished", "diverged", "failed", "cancelled"];
export const isOver = (job: Job): boolean => OVER.includes(job.state);
