/** What the run itself tells at its end, and a sweep of its best trial. */

import { api } from "../api";
import { fill, h } from "../dom";
import { inLine, number } from "../format";
import type { Job } from "../types";
import { isOver } from "../types";

type Told = Record<string, unknown>;
const object = (value: unknown): Told | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Told : null;

/** Notes, findings and hashes. Where the run has told nothing yet, the element stays empty. */
export class Outcome {
  readonly element = h("section", { class: "outcome", hidden: true });
  private asked = "";

  update(job: Job): void {
    const wanted = `${job.state} ${job.kind === "train" ? "" : job.epoch}`;
    if (wanted === this.asked || job.state === "queued") return;
    this.asked = wanted;
    void this.ask(job);
  }

  private async ask(job: Job): Promise<void> {
    let told: Told;
    try { told = await api.run(job.id); } catch { return; } // a run that has not begun has none
    const parts = [
      ...sweepParts(told),
      list("Findings", told.findings),
      list("Notes", told.notes),
      isOver(job) ? hashes(told) : null,
    ].filter((part): part is HTMLElement => part !== null);
    this.element.hidden = !parts.length;
    fill(this.element, ...parts);
  }
}

function list(title: string, told: unknown): HTMLElement | null {
  if (!Array.isArray(told) || !told.length) return null;
  return h("div", {}, h("h2", {}, title), h("ul", {}, told.slice(0, 50).map((one) => {
    const found = object(one);
    return h("li", {}, found ? String(found.text ?? found.message ?? inLine(found)) : String(one));
  })));
}

function hashes(told: Told): HTMLElement | null {
  const found = Object.entries({ ...told, ...object(told.hashes) })
    .filter(([name, value]) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value) && name !== "id");
  if (!found.length) return null;
  return h("details", {}, h("summary", {}, "Hashes, with which it can be compared to the bit"),
    h("dl", { class: "hashes" }, found.map(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")),
      h("dd", {}, h("code", {}, String(value)))])));
}

/** The best trial of a sweep, and its trials where they are told. */
function sweepParts(told: Told): (HTMLElement | null)[] {
  const best = object(told.best) ?? object(told.winner);
  const trials = Array.isArray(told.trials) ? told.trials.map(object).filter((one): one is Told => one !== null) : [];
  const folds = Array.isArray(told.folds) ? told.folds.map(object).filter((one): one is Told => one !== null) : [];
  return [
    best && h("div", { class: "best" }, h("h2", {}, "Best trial"), h("dl", { class: "facts" },
      Object.entries({ ...best, ...object(best.values), values: undefined }).filter(([, value]) => plain(value)).map(
        ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, shown(value)))))),
    trials.length ? table("Trials", trials) : null,
    folds.length ? table("Folds", folds) : null,
  ];
}

const plain = (value: unknown): boolean => value !== undefined && value !== null && typeof value !== "object";
const shown = (value: unknown): string => typeof value === "number" ? number(value, 5) : inLine(value);

function table(title: string, rows: Told[]): HTMLElement {
  const flat = rows.map((row): Told => ({ ...row, ...object(row.values), ...object(row.metrics) }));
  const columns = [...new Set(flat.flatMap((row) => Object.keys(row).filter((key) => plain(row[key]))))].slice(0, 12);
  return h("div", {}, h("h2", {}, title), h("div", { class: "scroll" }, h("table", { class: "numbers" },
    h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, flat.slice(0, 500).map((row) => h("tr", {}, columns.map((name) => h("td", {}, plain(row[name]) ? shown(row[name]) : "")))))))) ;
}
