/** One job in the table. A row is made once, and changed where the job has changed. */

import { actionsFor, actOnOne, mayControl, WORDS, type Action } from "../actions";
import { button, fill, h, ICONS, say, set } from "../dom";
import { age, moment, number, short } from "../format";
import { links } from "../router";
import { Progress, placeWords, showState, stateChip } from "../state";
import { isOver, type Job, type Who } from "../types";

export interface RowActs {
  choose(id: string, on: boolean, range: boolean): void;
  changed(job: Job): void;
}

const TOLD = new Set(["waiting", "failed", "diverged", "cancelled"]); // states whose reason matters more than how far
const SHOWN: readonly Action[] = ["up", "pause", "resume", "cancel"];

export class Row {
  readonly element: HTMLElement;
  private job: Job | null = null;
  private buttons = "";
  private readonly box = h("input", { type: "checkbox" });
  private readonly chip = stateChip("queued");
  private readonly link = h("a", { class: "name" });
  private readonly about = h("span", { class: "soft small about" });
  private readonly progress = new Progress();
  private readonly reason = h("span", { class: "reason" });
  private readonly age = h("span", { class: "soft" });
  private readonly tools = h("span", { class: "tools" });
  private readonly values: HTMLElement[];

  constructor(readonly id: string, private readonly who: Who, private readonly metrics: readonly string[],
    private readonly acts: RowActs) {
    this.values = metrics.map(() => h("span", { class: "value" }));
    this.box.addEventListener("click", (event) => acts.choose(id, this.box.checked, event.shiftKey));
    const cell = (name: string, ...children: Node[]): HTMLElement =>
      h("div", { role: "cell", class: `c-${name}` }, ...children);
    this.element = h("div", { role: "row", class: "row", "data-id": id },
      cell("box", h("label", { class: "check" }, this.box)),
      cell("state", this.chip),
      cell("name", this.link, this.about),
      cell("progress", this.progress.element, this.reason),
      ...this.values.map((value, i) => {
        const made = cell("metric", value);
        set(made, "data-metric", metrics[i]!);
        return made;
      }),
      cell("age", this.age),
      cell("tools", this.tools));
  }

  show(job: Job, place: number, chosen: boolean): void {
    set(this.element, "aria-rowindex", place + 2); // the head is the first
    set(this.element, "aria-selected", chosen ? "true" : null);
    if (this.box.checked !== chosen) this.box.checked = chosen;
    this.showAge(job);
    if (this.job === job) return;
    this.job = job;
    set(this.element, "data-state", job.state);
    set(this.box, "aria-label", `Choose ${job.name}`);
    showState(this.chip, job.state, job.wish);
    say(this.link, job.name);
    set(this.link, "href", links.job(job.id));
    set(this.link, "title", `${job.name} · ${short(job.id)}`);
    say(this.about, [
      `#${job.number}`, job.kind === "train" ? "" : job.kind, job.user,
      job.priority ? `priority ${job.priority}` : "", job.known ? "known" : "",
    ].filter(Boolean).join(" · "));
    const told = TOLD.has(job.state) && job.reason !== "";
    this.progress.element.hidden = told;
    this.reason.hidden = !told;
    say(this.reason, told ? job.reason : "");
    set(this.reason, "title", told ? job.reason : null);
    this.progress.show(job);
    if (job.state === "queued" && !job.epoch) say(this.progress.element.lastElementChild!, placeWords(job.place));
    this.values.forEach((value, i) => say(value, number(job.metrics[this.metrics[i]!])));
    this.showTools(job);
  }

  showAge(job: Job): void {
    const from = isOver(job) ? job.ended ?? job.created : job.created;
    say(this.age, age(from));
    set(this.age, "title", `created ${moment(job.created)}${job.ended ? `, ended ${moment(job.ended)}` : ""}`);
  }

  private showTools(job: Job): void {
    const actions = mayControl(this.who, job) ? actionsFor(job).filter((a) => SHOWN.includes(a)) : [];
    const buttons = actions.join();
    if (buttons === this.buttons) return;
    this.buttons = buttons;
    const held = this.tools.contains(document.activeElement);
    fill(this.tools, actions.map((action) =>
      button(`${WORDS[action]} ${job.name}`, { icon: action as keyof typeof ICONS, quiet: true, class: "plain",
        title: WORDS[action] }, () => {
        if (this.job) void actOnOne(action, this.job, this.acts.changed);
      })));
    if (held) this.link.focus(); // what had the focus is gone
  }
}
