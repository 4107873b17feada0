/** The jobs that fit a filter, loaded page by page and kept up to date by events. */

import { api } from "../api";
import { after } from "../changes";
import { debounced } from "../dom";
import { live } from "../live";
import type { Heard, Job, State, StateData } from "../types";

const PAGE = 200;

export interface Filter {
  states: string[];
  user: string;
  kind: string;
  text: string;
  sort: string;
}

export class JobList {
  jobs: Job[] = [];
  total = 0;
  counts: Partial<Record<State, number>> = {};
  error: unknown = null;
  loaded = false;
  /** Jobs that came meanwhile and would stand where they would push away what is being read. */
  fresh = 0;
  private next: string | null = null;
  private asking: AbortController | null = null;
  private readonly places = new Map<string, number>();
  private readonly refreshing = debounced(() => void this.refresh(), 700);
  private readonly stop: () => void;

  constructor(
    readonly filter: Filter,
    private readonly changed: () => void,
    /** Whether the reader is at the top of the list, so that new jobs may come in there. */
    private readonly atTop: () => boolean,
  ) {
    const stops = [live.hear((event) => this.take(event)), live.whenLive(() => this.refreshing.soon())];
    this.stop = () => stops.forEach((stop) => stop());
    void this.load();
  }

  close(): void {
    this.stop();
    this.refreshing.drop();
    this.asking?.abort();
  }

  get more(): boolean { return this.next !== null; }

  job(id: string): Job | undefined {
    const place = this.places.get(id);
    return place === undefined ? undefined : this.jobs[place];
  }

  place(id: string): number { return this.places.get(id) ?? -1; }

  /** From the start. */
  async load(): Promise<void> {
    await this.ask(null, (jobs) => { this.jobs = jobs; this.fresh = 0; });
  }

  /** The next page, if there is one and it is not under way. */
  async loadMore(): Promise<void> {
    if (!this.next || this.asking) return;
    await this.ask(this.next, (jobs) => {
      this.jobs.push(...jobs.filter((job) => !this.places.has(job.id)));
    });
  }

  /** Takes in a job as an answer tells it. */
  put(job: Job): void {
    const place = this.places.get(job.id);
    if (place === undefined) return;
    this.jobs[place] = job;
    this.changed();
  }

  private async ask(from: string | null, keep: (jobs: Job[]) => void): Promise<void> {
    this.asking?.abort();
    const asking = this.asking = new AbortController();
    try {
      const page = await api.jobs(this.query(from), asking.signal);
      keep(page.jobs);
      this.next = page.next;
      this.total = page.total;
      this.counts = page.counts ?? {};
      this.error = null;
      this.index();
    } catch (error) {
      if ((error as Error).name === "AbortError") return;
      this.error = error;
    } finally {
      if (this.asking === asking) this.asking = null;
    }
    this.loaded = true;
    this.changed();
  }

  private query(from: string | null): Record<string, string | number | string[] | null> {
    const { states, user, kind, text, sort } = this.filter;
    return { state: states, user, kind, text, sort, limit: PAGE, after: from };
  }

  private index(): void {
    this.places.clear();
    this.jobs.forEach((job, place) => this.places.set(job.id, place));
  }

  private take(event: Heard): void {
    const known = this.job(event.job);
    if (event.kind === "state") {
      const { from, to } = event.data as unknown as StateData;
      if (from) this.counts[from] = Math.max(0, (this.counts[from] ?? 1) - 1);
      this.counts[to] = (this.counts[to] ?? 0) + 1;
      if (!known) this.fresh += 1;
      this.refreshing.soon();
    }
    if (known) this.put(after(known, event));
    else if (event.kind === "state") this.changed();
  }

  /** Asks for the first page again: new jobs come in at the top, and all counts are right. */
  private async refresh(): Promise<void> {
    if (this.asking) return this.refreshing.soon();
    let page;
    try { page = await api.jobs(this.query(null)); } catch { return; }
    this.total = page.total;
    this.counts = page.counts ?? this.counts;
    const overlap = page.jobs.some((job) => this.places.has(job.id));
    if (this.jobs.length <= PAGE || !overlap && this.atTop()) {
      if (this.atTop() || !page.jobs.some((job) => !this.places.has(job.id))) {
        this.jobs = page.jobs;
        this.next = page.next;
        this.fresh = 0;
      }
    } else if (this.atTop() && this.filter.sort === "-number") {
      const coming = page.jobs.filter((job) => !this.places.has(job.id));
      this.jobs = [...coming, ...this.jobs];
      this.fresh = 0;
    }
    this.index();
    for (const job of page.jobs) {
      const place = this.places.get(job.id);
      if (place !== undefined) this.jobs[place] = job;
    }
    if (page.jobs.every((job) => this.places.has(job.id))) this.fresh = 0;
    this.changed();
  }
}
