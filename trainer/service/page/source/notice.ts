/** Short messages at the edge of the page, and the one place from which screen readers are told. */

import { h, button, say } from "./dom";

const told = h("p", { class: "hidden", role: "status", "aria-live": "polite" });
const stack = h("div", { class: "notices", role: "region", "aria-label": "Messages" });

export const noticeArea = (): HTMLElement[] => [told, stack];

/** Tells screen readers alone. */
export function announce(text: string): void { say(told, text); }

/** Shows a message for a while; one about a failure stays until it is closed. */
export function notify(text: string, kind: "good" | "bad" = "good"): void {
  const close = (): void => note.remove();
  const note = h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" },
    h("p", {}, text), button("Close", { icon: "cancel", quiet: true, class: "plain" }, close));
  stack.append(note);
  while (stack.children.length > 4) stack.firstElementChild?.remove();
  if (kind === "good") setTimeout(close, 5000);
}

/** Shows why something did not work, in the words of who refused it. */
export function complain(error: unknown): void {
  if ((error as Error)?.name === "AbortError") return;
  notify(error instanceof Error ? error.message : String(error), "bad");
}

/** The message that stands where a view would be. */
export function failure(error: unknown, again?: () => void): HTMLElement {
  return h("div", { class: "empty", role: "alert" },
    h("p", {}, error instanceof Error ? error.message : String(error)),
    again && button("Try again", {}, again));
}
