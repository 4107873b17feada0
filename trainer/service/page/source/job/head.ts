/** The head of a job: what it is, how it stands, what can be done. */

import { actionsFor, actOnOne, mayControl, WORDS } from "../actions";
import { button, fill, h, icon, ICONS, say } from "../dom";
import { bytes, compact, moment, short, span } from "../format";
import { announce } from "../notice";
import { inline } from "../prose";
import { links } from "../router";
import { Progress, placeWords, showState, stateChip } from "../state";
import { isOver, type Job, type Who } from "../types";

const UNITS = { train: "epoch", crossval: "fold", sweep: "trial" } as const;

export class Head {
  readonly element = h("header", { class: "job-head" });
  private readonly title = h("h1", {});
  private readonly chip = stateChip("queued");
  private readonly about = h("p", { class: "soft" });
  private readonly reason = h("p", { class: "reason" });
  private readonly tools = h("div", { class: "tools-line", role: "toolbar", "aria-label": "What to do with it" });
  private readonly facts = h("dl", { class: "facts" });
  private readonly progress = new Progress();
  private toolsOf = "";
  private state = "";

  constructor(private readonly who: Who, private readonly changed: (job: Job) => void) {
    this.element.append(
      h("div", { class: "named" }, h("div", { class: "line" }, this.title, this.chip), this.about), this.tools,
      this.reason, this.progress.element, this.facts);
    this.progress.element.classList.add("wide");
  }

  show(job: Job): void {
    say(this.title, job.name);
    showState(this.chip, job.state, job.wish);
    this.chip.classList.add("large");
    fill(this.about, `${job.kind === "train" ? "job" : job.kind} #${job.number} · `,
      h("code", { title: job.id }, short(job.id)), ` · ${job.user} · ${moment(job.created)}`,
      job.parent ? [" · from ", h("a", { href: links.job(job.parent) }, short(job.parent))] : null);
    fill(this.reason, inline(job.reason));
    this.reason.hidden = !job.reason;
    this.reason.classList.toggle("bad", job.state === "failed" || job.state === "diverged");
    this.progress.show(job, UNITS[job.kind]);
    this.progress.element.hidden = !job.epochs && !job.epoch;
    this.showFacts(job);
    this.showTools(job);
    if (this.state && this.state !== job.state) {
      announce(`${job.name} is ${job.state}${job.reason ? `: ${job.reason}` : ""}`);
    }
    this.state = job.state;
  }

  private showFacts(job: Job): void {
    const running = job.state === "running" && job.started ? Date.now() / 1000 - job.started : null;
    const trained = job.seconds || (job.attempt <= 1 ? running : null); // of later attempts the run knows more
    const left = running && trained && job.epoch && job.epochs ? (trained / job.epoch) * (job.epochs - job.epoch) : null;
    const facts: [string, string | null | undefined][] = [
      ["steps", job.kind !== "train" ? null : job.cost.steps ? `${compact(job.step)} of ${compact(job.cost.steps)}` : job.step ? compact(job.step) : null],
      ["place", job.state === "queued" ? placeWords(job.place) : null],
      ["trained", job.seconds ? span(job.seconds) : running ? span(running) : null],
      ["left", left ? `about ${span(left)}` : null],
      ["estimated", !isOver(job) && !left && job.cost.seconds ? `about ${span(job.cost.seconds)}` : null],
      ["memory", job.cost.bytes ? bytes(job.cost.bytes) : null],
      ["priority", job.priority ? String(job.priority) : null],
      ["attempt", job.attempt > 1 ? String(job.attempt) : null],
      ["ended", job.ended ? moment(job.ended) : null],
      ["digest", job.digest ? job.digest.slice(0, 12) : null],
    ];
    fill(this.facts, facts.filter(([, value]) => value).map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  private showTools(job: Job): void {
    const actions = mayControl(this.who, job) ? actionsFor(job) : [];
    const toolsOf = JSON.stringify([actions, job.links?.mlflow, job.priority, job.parent]);
    if (toolsOf === this.toolsOf) return;
    this.toolsOf = toolsOf;
    const held = this.tools.contains(document.activeElement);
    const submits = this.who.role !== "reader";
    fill(this.tools,
      submits && h("a", { class: "button primary", href: links.fresh({ from: job.id }) }, icon(ICONS.copy), "Clone & edit"),
      job.parent && h("a", { class: "button", href: links.compare([job.parent, job.id]) },
        icon(ICONS.compare), "Compare with its parent"),
      actions.map((action) => button(WORDS[action], { icon: action }, () => void actOnOne(action, job, this.changed))),
      job.links?.mlflow && h("a", { class: "button", href: job.links.mlflow, target: "_blank", rel: "noopener" },
        "In MLflow ↗"));
    if (held) this.tools.querySelector<HTMLElement>("a, button")?.focus();
  }
}
