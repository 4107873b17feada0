/** How a spec is to be trained: once, or once for each fold; how urgently; though it is known. */

import { h } from "../dom";
import type { Wanted } from "../api";

export class Options {
  readonly element: HTMLElement;
  private readonly kind: HTMLSelectElement;
  private readonly folds = h("input", { type: "number", min: 2, max: 100, value: 5, id: "folds" });
  private readonly kindBox: HTMLElement;
  private readonly foldsBox: HTMLElement;
  private readonly priority = h("input", { type: "number", value: 0, min: -1000, max: 1000, id: "priority" });
  private readonly again = h("input", { type: "checkbox" });
  private sweep = false;

  constructor(changed: () => void) {
    this.kind = h("select", { id: "kind" },
      h("option", { value: "train" }, "once"), h("option", { value: "crossval" }, "once a fold"));
    this.kindBox = h("label", {}, "Train ", this.kind);
    this.foldsBox = h("label", { hidden: true }, "folds ", this.folds);
    this.kind.addEventListener("change", () => {
      this.foldsBox.hidden = this.kind.value !== "crossval";
      changed();
    });
    for (const field of [this.folds, this.again]) field.addEventListener("change", changed);
    this.element = h("div", { class: "options" },
      this.kindBox, this.foldsBox,
      h("label", { title: "Of your jobs those with a higher one come first" }, "priority ", this.priority),
      h("label", { title: "Train it though the same was trained before" }, this.again, "again"));
  }

  /** A sweep says in its own text how it is trained. */
  isSweep(sweep: boolean): void {
    this.sweep = sweep;
    this.kindBox.hidden = sweep;
    this.foldsBox.hidden = sweep || this.kind.value !== "crossval";
  }

  get checked(): Wanted {
    if (this.sweep || this.kind.value === "train") return {};
    return { kind: "crossval", folds: Number(this.folds.value) || undefined };
  }

  get wanted(): Wanted {
    const priority = Number(this.priority.value) || undefined;
    return { ...this.checked, priority, again: this.again.checked || undefined };
  }
}
