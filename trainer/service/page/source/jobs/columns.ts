/** Which metrics the table shows, and the head of the table by which it is sorted. */

import { fill, h, set } from "../dom";

export const USUAL = ["val_loss", "best_val_loss"];
const MOST = 4;

export const titleOf = (metric: string): string => metric.replaceAll("_", " ");

/** The head: a button for each column by which jobs can be sorted. */
export class Head {
  readonly element = h("div", { role: "row", class: "row head", "aria-rowindex": 1 });

  constructor(private readonly all: HTMLInputElement, private readonly sortBy: (key: string) => void) {}

  show(metrics: readonly string[], sort: string): void {
    const held = (document.activeElement as HTMLElement | null)?.dataset.sort;
    const column = (name: string, key: string, words: string): HTMLElement => {
      const down = sort === `-${key}`;
      const active = down || sort === key;
      return h("div", {
        role: "columnheader", class: `c-${name}`, "aria-sort": active ? (down ? "descending" : "ascending") : "none",
      }, h("button", { class: "plain sort", type: "button", "data-sort": key, on: { click: () => this.sortBy(key) } },
        words, active && h("span", { class: "arrow", "aria-hidden": "true" }, down ? "↓" : "↑")));
    };
    fill(this.element,
      h("div", { role: "columnheader", class: "c-box" }, h("label", { class: "check" }, this.all)),
      column("state", "state", "State"), column("name", "name", "Name"),
      column("progress", "epoch", "Progress"),
      metrics.map((metric) => column("metric", `metrics.${metric}`, titleOf(metric))),
      column("age", "created", "Age"),
      h("div", { role: "columnheader", class: "c-tools" }, h("span", { class: "hidden" }, "Actions")));
    if (held) this.element.querySelector<HTMLElement>(`[data-sort="${CSS.escape(held)}"]`)?.focus();
  }
}

/** The menu from which metrics are chosen. */
export class MetricMenu {
  readonly element: HTMLDetailsElement;
  private readonly list = h("div", { class: "menu", role: "group", "aria-label": "Metrics that are shown" });
  private known = new Set<string>(USUAL);
  private drawn = "";

  constructor(private metrics: readonly string[], private readonly choose: (metrics: string[]) => void) {
    this.element = h("details", { class: "dropdown" }, h("summary", { class: "button" }, "Metrics"), this.list);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { this.element.open = false; this.element.querySelector("summary")?.focus(); }
    });
    const outside = (event: Event): void => {
      if (!this.element.contains(event.target as Node)) this.element.open = false;
    };
    this.element.addEventListener("toggle", () => {
      if (this.element.open) document.addEventListener("pointerdown", outside);
      else document.removeEventListener("pointerdown", outside);
    });
    this.show();
  }

  /** Hears of metrics that jobs have. */
  hear(names: Iterable<string>): void {
    const before = this.known.size;
    for (const name of names) this.known.add(name);
    if (this.known.size !== before) this.show();
  }

  set(metrics: readonly string[]): void { this.metrics = metrics; this.show(); }

  private show(): void {
    const names = [...new Set([...this.metrics, ...[...this.known].sort()])];
    const drawn = JSON.stringify([names, this.metrics]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    fill(this.list, names.map((name) => {
      const on = this.metrics.includes(name);
      const box = h("input", { type: "checkbox", disabled: !on && this.metrics.length >= MOST });
      box.checked = on;
      box.addEventListener("change", () => this.choose(
        box.checked ? [...this.metrics, name] : this.metrics.filter((one) => one !== name)));
      return h("label", {}, box, titleOf(name));
    }));
    set(this.list, "data-count", names.length);
  }
}
