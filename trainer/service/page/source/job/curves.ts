/** Watching a run learn: its curves, grown by the stream, with what they are summed up in. */

import { api } from "../api";
import { Chart } from "../chart/chart";
import { curvesOf, groups, grow, type Group } from "../chart/series";
import { fill, h } from "../dom";
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
  private readonly waiting: Series[] = [];
  private loaded = false;
  private readonly stop: () => void;

  constructor(private job: Job) {
    this.element.append(h("h2", {}, "Curves"), this.grid, this.empty);
    this.empty.hidden = true;
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

  /** All axes to the other kind. */
  swapScale(): void {
    for (const chart of this.charts.values()) chart.swapScale();
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
    this.tellEmpty();
  }

  private show(group: Group): void {
    let chart = this.charts.get(group.key);
    if (!chart) {
      chart = new Chart(group.title, this.job.kind === "sweep" ? "trial" : group.across, group.log);
      this.charts.set(group.key, chart);
      this.grid.append(chart.element);
      const keys = groups(this.series).map(({ key }) => key);
      const shown = [...this.charts].sort(([a], [b]) => keys.indexOf(a) - keys.indexOf(b));
      fill(this.grid, ...shown.map(([, one]) => one.element));
    }
    chart.show(curvesOf(group, this.series));
  }

  private tellEmpty(): void {
    const none = this.loaded && !this.charts.size;
    this.empty.hidden = !none;
    if (!none) return;
    const { kind } = this.job;
    fill(this.empty, kind === "crossval" ? "Curves of single folds are in MLflow."
      : isOver(this.job) ? "It ended before its first epoch: there are no curves."
        : kind === "sweep" ? "The best value so far appears with the first trial."
          : "Curves appear with the first epoch, and grow while it trains.");
  }
}
