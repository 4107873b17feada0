/** Watching a run learn: its curves, grown by the stream, with what they are summed up in. */

import { api } from "../api";
import { Chart } from "../chart/chart";
import { curvesOf, groups, grow, type Group } from "../chart/series";
import { fill, h, set } from "../dom";
import { live } from "../live";
import { failure } from "../notice";
import type { Job, ProgressData, Series } from "../types";
import { isOver } from "../types";

const FEW = 9; // charts that are shown without being asked for

export class Curves {
  readonly element = h("section", { class: "curves", "aria-label": "Curves" });
  private series: Series = {};
  private readonly grid = h("div", { class: "charts" });
  private readonly empty = h("p", { class: "empty" });
  private readonly charts = new Map<string, Chart>();
  private readonly logs = new Map<string, boolean>();
  private readonly all = h("button", { type: "button", "aria-pressed": "false" }, "Log scale");
  private log: boolean | null = null;
  private readonly waiting: Series[] = [];
  private loaded = false;
  private readonly stop: () => void;

  constructor(private job: Job) {
    this.all.addEventListener("click", () => this.toggleLog());
    this.element.append(h("div", { class: "line" }, h("h2", {}, "Curves"), this.all), this.grid, this.empty);
    this.all.hidden = true;
    this.stop = live.hear((event) => {
      if (event.job !== job.id || event.kind !== "progress") return;
      const { series } = event.data as ProgressData;
      if (!series) return;
      if (!this.loaded) { this.waiting.push(series); return; } // the answer under way has some of it
      grow(this.series, series);
      this.draw();
    });
    void this.load();
  }

  close(): void {
    this.stop();
    for (const chart of this.charts.values()) chart.close();
  }

  /** The job came into another state. */
  update(job: Job): void {
    const ended = isOver(job) && !isOver(this.job);
    this.job = job;
    this.tellEmpty();
    if (ended) void this.load(); // what came last may have been thinned on its way
  }

  toggleLog(): void {
    this.log = !(this.log ?? false);
    set(this.all, "aria-pressed", this.log ? "true" : "false");
    this.draw();
  }

  /** Asks for all points: at first, and where some may have been missed. */
  async load(): Promise<void> {
    try {
      this.series = await api.curves(this.job.id);
    } catch (error) {
      if (!this.loaded) fill(this.empty, failure(error, () => void this.load()));
      return;
    }
    this.loaded = true;
    for (const series of this.waiting.splice(0)) grow(this.series, series);
    this.draw();
  }

  private draw(): void {
    const all = groups(this.series).slice(0, FEW * 2);
    for (const group of all) this.show(group);
    this.all.hidden = !all.length;
    this.tellEmpty();
  }

  private show(group: Group): void {
    let chart = this.charts.get(group.key);
    if (!chart) {
      chart = new Chart(group.title, group.across);
      this.charts.set(group.key, chart);
      this.logs.set(group.key, group.log);
      this.grid.append(chart.element);
      const keys = groups(this.series).map(({ key }) => key);
      const shown = [...this.charts].sort(([a], [b]) => keys.indexOf(a) - keys.indexOf(b));
      fill(this.grid, ...shown.map(([, one]) => one.element));
    }
    chart.show(curvesOf(group, this.series), this.log ?? this.logs.get(group.key) ?? false);
  }

  private tellEmpty(): void {
    const none = this.loaded && !this.charts.size;
    this.empty.hidden = !none;
    if (!none) return;
    fill(this.empty, isOver(this.job) ? "It ended before its first epoch: there are no curves."
      : this.job.kind === "train" ? "Curves appear with the first epoch, and grow while it trains."
        : "Curves of single trials are in MLflow; here is how many are done.");
  }
}
