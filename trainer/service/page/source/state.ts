/** A job's state as it is seen: a word, a shape and a colour. */

import { fill, h, icon, say, set } from "./dom";
import { plural } from "./format";
import type { Job, State } from "./types";

/** Each state has a shape of its own: colours alone tell too little. */
const SHAPES: Record<State, string> = {
  queued: "M8 2.500a5.500 5.500 0 1 0 .01 0zM8 5v3.200l2 1.500",
  waiting: "M4.500 2.500h7M4.500 13.500h7M5 2.500c0 4 6 7 6 11M11 2.500c0 4-6 7-6 11",
  running: "M4.500 3l8 5-8 5z",
  paused: "M5.500 3.500v9M10.500 3.500v9",
  finished: "M3 8.500l3.500 3.500L13 4.500",
  diverged: "M2.500 12.500C7 12 9 9 9.500 2.500M9.500 2.500L7 5M9.500 2.500l2.800 2",
  failed: "M8 2.500v6.500M8 12.500v.3",
  cancelled: "M4 4l8 8M12 4l-8 8",
};

const WISHES = { cancel: "stopping", pause: "pausing" } as const;

export function stateChip(state: State, wish: Job["wish"] = null): HTMLElement {
  const chip = h("span", { class: "state" });
  showState(chip, state, wish);
  return chip;
}

/** Makes a chip tell this state; nothing is touched where it does already. */
export function showState(chip: HTMLElement, state: State, wish: Job["wish"] = null): void {
  const words = wish && (state === "running" || state === "queued") ? WISHES[wish] : state;
  if (chip.dataset.state === state && chip.textContent === words) return;
  set(chip, "data-state", state);
  fill(chip, icon(SHAPES[state]), h("span", {}, words));
}

/** How far a job is, as a bar and in words. */
export class Progress {
  readonly element: HTMLElement;
  private readonly bar = h("progress", { max: 1, value: 0 });
  private readonly words = h("span", { class: "soft count" });

  constructor() { this.element = h("span", { class: "progress" }, this.bar, this.words); }

  /** `unit` is what is counted, where there is room for the word. */
  show(job: Pick<Job, "epoch" | "epochs" | "state" | "step">, unit = ""): void {
    const part = job.epochs ? Math.min(1, job.epoch / job.epochs) : 0;
    if (this.bar.value !== part) this.bar.value = part;
    set(this.bar, "data-state", job.state);
    const of = unit ? " of " : "/";
    const words = `${unit && `${unit} `}${job.epoch}${job.epochs ? `${of}${job.epochs}` : ""}`;
    say(this.words, job.epochs || job.epoch ? words : "");
    set(this.bar, "aria-label", job.epochs ? `epoch ${job.epoch} of ${job.epochs}` : "no epoch yet");
  }
}

/** Where it stands in the queue, for people: 1 is next. */
export function placeWords(place: number | null | undefined): string {
  if (place === null || place === undefined) return "";
  return place <= 1 ? "next" : `after ${plural(place - 1, "other")}`;
}
