/**
 * The rows that can be seen, and a few around them: 10,000 jobs cost as much as 40.
 *
 * Rows are of one height and stand where they belong in a box as high as all of them. The page
 * itself scrolls.
 */

import { atFrame, set } from "../dom";
import type { Job, Who } from "../types";
import type { JobList } from "./list";
import { Row, type RowActs } from "./row";

const AROUND = 8; // rows beyond each edge
const AHEAD = 60; // rows before the end of what is loaded at which more is asked for
const NARROW = matchMedia("(max-width: 46rem)");

export class RowWindow {
  private rows = new Map<string, Row>();
  private readonly draw = atFrame(() => this.place());
  private readonly clock: number;

  constructor(
    private readonly box: HTMLElement, private readonly list: () => JobList, private readonly who: Who,
    private metrics: readonly string[], private readonly chosen: ReadonlySet<string>,
    private readonly acts: RowActs,
  ) {
    addEventListener("scroll", this.draw, { passive: true });
    addEventListener("resize", this.draw);
    this.clock = window.setInterval(this.draw, 10_000); // ages grow
  }

  close(): void {
    removeEventListener("scroll", this.draw);
    removeEventListener("resize", this.draw);
    clearInterval(this.clock);
    this.draw.drop();
  }

  update(): void { this.draw(); }

  /** Other columns: all rows are made anew. */
  columns(metrics: readonly string[]): void {
    this.metrics = metrics;
    this.rows.clear();
    this.box.replaceChildren();
    this.draw();
  }

  static get height(): number { return NARROW.matches ? 92 : 52; }

  /** Moves the focus by some rows from the one that has it, or to the first that is seen. */
  step(by: number): void {
    const jobs = this.list().jobs;
    const from = this.list().place(this.focused() ?? "");
    const first = Math.max(0, Math.ceil((scrollY - this.top()) / RowWindow.height));
    const to = Math.min(jobs.length - 1, Math.max(0, from < 0 ? first : from + by));
    const job = jobs[to];
    if (!job) return;
    const at = this.top() + to * RowWindow.height;
    const room = 140; // the bars that stay at the top
    if (at < scrollY + room) scrollTo(0, at - room);
    if (at + RowWindow.height > scrollY + innerHeight) scrollTo(0, at + RowWindow.height - innerHeight + 8);
    this.place();
    this.rows.get(job.id)?.element.querySelector("a")?.focus({ preventScroll: true });
  }

  /** The job whose row has the focus. */
  focused(): string | null {
    const row = document.activeElement?.closest<HTMLElement>(".row[data-id]");
    return row && this.box.contains(row) ? row.dataset.id ?? null : null;
  }

  private top(): number { return this.box.getBoundingClientRect().top + scrollY; }

  private place(): void {
    if (!this.box.isConnected) return; // another view is seen
    const list = this.list();
    const height = RowWindow.height;
    this.box.style.height = `${list.jobs.length * height}px`;
    const seen = scrollY - this.top();
    const first = Math.max(0, Math.floor(seen / height) - AROUND);
    const end = Math.min(list.jobs.length, Math.ceil((seen + innerHeight) / height) + AROUND);
    const wanted: Job[] = list.jobs.slice(first, end);
    const held = list.job(this.focused() ?? ""); // what has the focus stays, however far away
    const all = held && !wanted.includes(held) ? [...wanted, held] : wanted;
    const kept = new Map<string, Row>();
    let before: Element | null = null;
    for (const job of all) {
      const row = this.rows.get(job.id) ?? new Row(job.id, this.who, this.metrics, this.acts);
      kept.set(job.id, row);
      const at = list.place(job.id);
      row.show(job, at, this.chosen.has(job.id));
      row.element.style.transform = `translateY(${at * height}px)`;
      const follows: Element | null = before ? before.nextElementSibling : this.box.firstElementChild;
      // moving an element takes the focus from it: only what stands elsewhere is moved
      if (follows !== row.element && job !== held) this.box.insertBefore(row.element, follows);
      else if (!row.element.isConnected) this.box.append(row.element);
      if (job !== held || follows === row.element) before = row.element;
    }
    for (const [id, row] of this.rows) if (!kept.has(id)) row.element.remove();
    this.rows = kept;
    set(this.box.parentElement!, "aria-rowcount", list.total + 1);
    if (list.more && end > list.jobs.length - AHEAD) void list.loadMore();
  }
}
