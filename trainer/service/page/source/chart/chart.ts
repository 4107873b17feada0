/** A chart of some curves: uPlot on a canvas, with a legend that is text and tells values. */

import uPlot from "uplot";

import { atFrame, fill, h, say, set } from "../dom";
import { number, power } from "../format";
import { dashOf, lineColour, sample, tone, whenColoursChange } from "./colours";

export type Points = readonly (readonly [number, number | null])[];
export interface Curve {
  name: string;
  /** What the legend calls it. */
  label?: string;
  points: Points;
  /** Which colour of the palette; also which dash, beyond its end. */
  tint: number;
  dashed?: boolean;
}

const HEIGHT = 240;
let tallies = 0;

/** Whether what is above zero spans more than a factor of ten: then a logarithmic axis tells more. */
function spansDecades(curves: readonly Curve[]): boolean {
  let low = Infinity;
  let high = 0;
  for (const { points } of curves) {
    for (const [, y] of points) if (y !== null && y > 0) { low = Math.min(low, y); high = Math.max(high, y); }
  }
  return high > 10 * low;
}

export class Chart {
  readonly element: HTMLElement;
  private readonly canvas = h("div", { class: "canvas", role: "img" });
  private readonly words: HTMLElement;
  private readonly scale = h("button", { type: "button", class: "plain scale", "aria-pressed": "false",
    title: "Logarithmic axis (l)", on: { click: () => this.swapScale() } }, "log");
  private readonly legend = h("ul", { class: "legend" });
  private readonly hidden = new Set<string>();
  private curves: readonly Curve[] = [];
  private plot: uPlot | null = null;
  private shape = "";
  private log: boolean | null = null; // as the values are, until somebody has chosen
  private readonly draw = atFrame(() => this.place());
  private readonly sizes = new ResizeObserver(() => this.draw());
  private readonly letGo: () => void;

  constructor(readonly title: string, private readonly across = "epoch", private readonly usuallyLog = false) {
    const id = `chart-${tallies += 1}`;
    this.words = h("span", { id }, title);
    this.element = h("figure", { class: "chart", "aria-labelledby": id },
      h("figcaption", {}, this.words, this.scale), this.canvas, this.legend);
    this.sizes.observe(this.canvas);
    this.letGo = whenColoursChange(() => { this.shape = ""; this.draw(); });
  }

  show(curves: readonly Curve[]): void {
    this.curves = curves;
    this.draw();
  }

  /** From a linear axis to a logarithmic one, which leaves out what is not above zero, or back. */
  swapScale(): void {
    this.log = !this.isLog();
    this.draw();
  }

  private isLog(): boolean {
    return this.log ?? (this.usuallyLog && spansDecades(this.curves));
  }

  close(): void {
    this.sizes.disconnect();
    this.letGo();
    this.draw.drop();
    this.plot?.destroy();
    this.plot = null;
  }

  private place(): void {
    const width = Math.floor(this.canvas.clientWidth);
    if (!width || !this.element.isConnected) return;
    const log = this.isLog() && this.curves.some((curve) => curve.points.some(([, y]) => (y ?? 0) > 0));
    set(this.scale, "aria-pressed", log ? "true" : "false");
    const shape = JSON.stringify([log, this.curves.map(({ name, label, tint, dashed }) => [name, label, tint, dashed])]);
    if (!this.plot || shape !== this.shape) {
      this.shape = shape;
      this.plot?.destroy();
      this.makeLegend();
      this.plot = new uPlot(this.options(width, log), this.data(log), this.canvas);
    } else {
      if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
      this.plot.setData(this.data(log));
    }
    this.tell(null);
    set(this.canvas, "aria-label", this.summary());
  }

  private data(log: boolean): uPlot.AlignedData {
    const tables = this.curves.map(({ points }): uPlot.AlignedData => {
      const last = new Map<number, number | null>(); // of two points at one place the later counts
      for (const [x, y] of points) last.set(x, y !== null && Number.isFinite(y) && (!log || y > 0) ? y : null);
      const xs = [...last.keys()];
      for (let i = 1; i < xs.length; i += 1) if (xs[i]! < xs[i - 1]!) { xs.sort((a, b) => a - b); break; }
      return [xs, xs.map((x) => last.get(x) ?? null)];
    });
    return tables.length ? uPlot.join(tables) : [[]];
  }

  private options(width: number, log: boolean): uPlot.Options {
    const axis = { stroke: () => tone("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: () => tone("--line"), width: 0.6 }, ticks: { show: false } };
    const dots = (curve: Curve): boolean => curve.points.length <= 12;
    return {
      width, height: HEIGHT,
      legend: { show: false },
      padding: [8, 16, 0, 0],
      cursor: { points: { size: 7 }, y: false, drag: { x: true, y: false }, sync: { key: this.across } },
      scales: { x: { time: false, range: (plot, low, high) => plot.data[0].length === 1 ? [low, low + 1] : [low, high] }, y: log ? { distr: 3 } : {} },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => Number.isInteger(tick) ? tick.toLocaleString("en") : ""),
          size: 30, space: 60 },
        { ...axis, values: (_, ticks) => ticks.map((tick) => tick === null ? "" : power(tick)),
          size: (_, values) => 16 + 7 * Math.max(3, ...(values ?? []).map((value) => value?.length ?? 0)) },
      ],
      series: [{}, ...this.curves.map((curve): uPlot.Series => ({
        label: curve.label ?? curve.name, stroke: () => lineColour(curve.tint), width: curve.points.length > 500 ? 1.2 : 1.8, spanGaps: true,
        dash: dashOf(curve.tint, curve.dashed), show: !this.hidden.has(curve.name),
        points: dots(curve) ? { show: true, size: 5, fill: () => lineColour(curve.tint) } : { show: false },
      }))],
      hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx ?? null)] },
    };
  }

  private makeLegend(): void {
    fill(this.legend, this.curves.map((curve, i) => {
      const shown = h("button", { type: "button", class: "plain key", "aria-pressed": !this.hidden.has(curve.name)
        ? "true" : "false", title: "Show or hide this curve" },
        sample(curve.tint, curve.dashed), h("span", { class: "label" }, curve.label ?? curve.name),
        h("span", { class: "value" }));
      shown.addEventListener("click", () => {
        const on = this.hidden.has(curve.name);
        if (on) this.hidden.delete(curve.name);
        else this.hidden.add(curve.name);
        set(shown, "aria-pressed", on ? "true" : "false");
        this.plot?.setSeries(i + 1, { show: on });
      });
      return h("li", {}, shown);
    }));
  }

  /** The values in the legend: where the pointer is, else the last. */
  private tell(at: number | null): void {
    const values = this.legend.querySelectorAll(".value");
    this.curves.forEach((curve, i) => {
      const value = at === null ? curve.points.at(-1)?.[1] : this.plot?.data[i + 1]?.[at];
      if (values[i]) say(values[i], value === null || value === undefined ? "" : number(value));
    });
    const x = at === null ? null : this.plot?.data[0][at];
    say(this.words, x === null || x === undefined
      ? this.title : `${this.title} · ${this.across} ${x}`);
  }

  private summary(): string {
    const told = this.curves.slice(0, 12).map(({ name, label, points }) =>
      `${label ?? name}: ${points.length} points, last ${number(points.at(-1)?.[1])}`);
    return `${this.title} by ${this.across}. ${told.join("; ")}`;
  }
}
