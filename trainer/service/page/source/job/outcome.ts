/** What the run itself tells at its end: what came out, what was found, and its hashes. */

import { api } from "../api";
import { fill, h } from "../dom";
import { inLine } from "../format";
import { inline, prose } from "../prose";
import type { Job, State } from "../types";

type Told = Record<string, unknown>;
const object = (value: unknown): Told | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Told : null;

/** How a run ends that tells what came out; what was stopped or has failed has its reason alone. */
const ENDED: readonly State[] = ["finished", "diverged"];

/** Where the run has told nothing yet, the elements stay empty. */
export class Outcome {
  /** The run in words; of a sweep its best trials. */
  readonly told = h("section", { class: "summary", hidden: true });
  /** Findings, notes and hashes. */
  readonly element = h("section", { class: "outcome", hidden: true });
  private asked = "";

  constructor(private readonly metrics: (metrics: Record<string, number>) => void) {}

  update(job: Job): void {
    if (job.state === this.asked || !ENDED.includes(job.state)) return;
    this.asked = job.state;
    void this.ask(job);
  }

  private async ask(job: Job): Promise<void> {
    let told: Told;
    try { told = await api.run(job.id); } catch { return; } // its folder may be gone
    const described = Array.isArray(told.description) ? told.description.map(String) : [];
    this.told.hidden = !described.length;
    // the commands are for who has the run on a machine of its own
    fill(this.told, h("h2", {}, "Outcome"),
      ...prose(described.filter((line) => !/^- (Predict|Compare|Reproduce): /.test(line))));
    const parts = [list("Findings", told.findings), list("Notes", told.notes), hashes(told)]
      .filter((part): part is HTMLElement => part !== null);
    this.element.hidden = !parts.length;
    fill(this.element, ...parts);
    const metrics = object(told.metrics);
    if (metrics) this.metrics(metrics as Record<string, number>);
  }
}

function list(title: string, told: unknown): HTMLElement | null {
  if (!Array.isArray(told) || !told.length) return null;
  return h("div", {}, h("h2", {}, title), h("ul", { class: "dots" }, told.slice(0, 50).map((one) => {
    const found = object(one);
    return h("li", {}, inline(found ? String(found.text ?? found.message ?? inLine(found)) : String(one)));
  })));
}

function hashes(told: Told): HTMLElement | null {
  const all = { parameters: told.parameters_sha256, ...object(told.files) };
  const found = Object.entries(all).filter(([, value]) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value));
  if (!found.length) return null;
  return h("details", {}, h("summary", {}, "Hashes, by which it can be compared to the bit"),
    h("dl", { class: "hashes" }, found.map(([name, value]) => [h("dt", {}, name),
      h("dd", {}, h("code", {}, String(value)))])));
}
