/** How a job came to be what it is: its states with their times and causes, and notes. */

import { h } from "../dom";
import { moment, plural, span } from "../format";
import { stateChip } from "../state";
import type { Heard, StateData } from "../types";

export interface Change { number: number; time: number; state?: StateData; text?: string }

/** A change, whether its data stand beside its number or in `data`. */
export function changeOf(told: unknown): Change {
  const { number = 0, time = 0, data, ...rest } = told as Heard & Record<string, unknown>;
  const found = { ...rest, ...data } as Record<string, unknown>;
  if (typeof found.to === "string") return { number, time, state: found as unknown as StateData };
  return { number, time, text: String(found.text ?? found.reason ?? "") };
}

export function historyList(changes: readonly Change[], now = Date.now() / 1000): HTMLElement {
  return h("ol", { class: "history" }, changes.map((change, i) => {
    const next = changes.slice(i + 1).find((one) => one.state);
    const until = change.state && next ? next.time : now;
    const open = change.state && !next && ["queued", "running", "waiting"].includes(change.state.to);
    const lasted = change.state && (next || open) ? span(until - change.time) : "";
    const attempt = change.state?.to === "running" ? change.state.attempt : undefined;
    return h("li", {},
      h("time", { datetime: new Date(change.time * 1000).toISOString(), title: moment(change.time) },
        moment(change.time).slice(11)),
      h("div", {},
        change.state ? stateChip(change.state.to) : h("span", { class: "note-mark" }, "note"),
        attempt && attempt > 1 ? h("span", { class: "soft" }, ` ${ordinal(attempt)} attempt`) : null,
        lasted && h("span", { class: "soft" }, ` ${lasted}`),
        h("p", { class: "cause" }, change.state ? change.state.reason ?? "" : change.text ?? "")));
  }));
}

const ordinal = (n: number): string => `${n}${["th", "st", "nd", "rd"][n % 100 > 10 && n % 100 < 14 ? 0 : n % 10] ?? "th"}`;

/** What is told of several attempts in one line. */
export function attempts(changes: readonly Change[]): string {
  const lost = changes.filter(({ state }) => state?.from === "running" && (state.to === "queued" || state.to === "waiting"));
  return lost.length ? `begun again ${plural(lost.length, "time")}, from where it was saved` : "";
}
