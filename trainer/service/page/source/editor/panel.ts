/** What is known of the spec that is being written: its mistakes, or its shapes and what it takes. */

import { fill, h, say, set } from "../dom";
import { bytes, compact, inLine, plural, short, span } from "../format";
import { inline } from "../prose";
import { links } from "../router";
import type { Checked, Layer, Mistake } from "../types";

export class Panel {
  readonly element: HTMLElement;
  private readonly status = h("p", { class: "verdict", role: "status" }, "…");
  private readonly body = h("div", {});

  constructor(private readonly goTo: (mistake: Mistake) => void) {
    this.element = h("aside", { class: "panel", "aria-label": "What is known of the spec" }, this.status, this.body);
  }

  /** Being checked: what was known stays until the answer is there. */
  busy(): void { this.element.classList.add("busy"); }

  show(checked: Checked): void {
    this.element.classList.remove("busy");
    const mistakes = checked.errors ?? [];
    set(this.element, "data-valid", checked.valid ? "true" : "false");
    say(this.status, checked.valid ? "Valid" : plural(Math.max(1, mistakes.length), "mistake"));
    if (!checked.valid) return this.mistakes(mistakes);
    fill(this.body, this.known(checked), this.cost(checked), this.layers(checked.layers ?? []), this.notes(checked));
  }

  /** It could not be checked at all. */
  fail(message: string): void {
    this.element.classList.remove("busy");
    set(this.element, "data-valid", null);
    say(this.status, "Not checked");
    fill(this.body, h("p", {}, message));
  }

  private mistakes(mistakes: readonly Mistake[]): void {
    fill(this.body, h("ol", { class: "mistakes" }, mistakes.slice(0, 100).map((mistake) => h("li", {},
      h("button", { type: "button", class: "plain", disabled: !mistake.line,
        on: { click: () => this.goTo(mistake) } },
        h("span", { class: "at" }, mistake.line ? `${mistake.line}:${mistake.column ?? 1}` : ""),
        h("span", {}, mistake.path && h("code", {}, mistake.path), " ", inline(mistake.message),
          mistake.hint && h("span", { class: "hint" }, inline(mistake.hint))))))));
  }

  private known({ known }: Checked): HTMLElement | null {
    if (!known) return null;
    return h("p", { class: "known" }, "This was trained before, as ", h("a", { href: links.job(known) }, short(known)),
      ". It is found, not trained again, unless you ask for it.");
  }

  private cost({ cost, kind, name }: Checked): HTMLElement {
    const facts: [string, string | null][] = [
      ["name", name ?? null],
      ["kind", kind === "train" ? null : kind ?? null],
      ["steps", cost?.steps ? compact(cost.steps) : null],
      ["memory", cost?.bytes ? bytes(cost.bytes) : null],
      ["time", cost?.seconds ? `about ${span(cost.seconds)}` : null],
      ["operations", cost?.operations ? compact(cost.operations) : null],
    ];
    return h("dl", { class: "facts" }, facts.filter(([, value]) => value).map(([title, value]) =>
      h("div", {}, h("dt", {}, title), h("dd", {}, value))));
  }

  private layers(layers: readonly Layer[]): HTMLElement | null {
    if (!layers.length) return null;
    const columns = ["name", "activation", "formula", "shape", "parameters"].filter((key) =>
      layers.some((layer) => (layer as unknown as Record<string, unknown>)[key]));
    const total = layers.reduce((sum, layer) => sum + (Number(String(layer.parameters ?? "0").replaceAll(",", "")) || 0), 0);
    return h("div", { class: "scroll" }, h("table", { class: "layers" },
      h("thead", {}, h("tr", {}, columns.map((key) => h("th", { scope: "col",
        class: key === "parameters" ? "right" : null }, key === "name" ? "layer" : key)))),
      h("tbody", {}, layers.slice(0, 200).map((layer) => h("tr", {}, columns.map((key) => h("td", {
        class: key === "parameters" ? "right" : null,
      }, cell((layer as unknown as Record<string, unknown>)[key])))))),
      total > 0 && h("tfoot", {}, h("tr", {}, h("td", { colspan: columns.length - 1 }, "all"),
        h("td", { class: "right" }, total.toLocaleString("en"))))));
  }

  private notes(checked: Checked & { notes?: string[] }): HTMLElement | null {
    return checked.notes?.length ? h("ul", { class: "soft small" }, checked.notes.map((note) => h("li", {}, note))) : null;
  }
}

const cell = (value: unknown): string => value === null || value === undefined ? "" : inLine(value);
