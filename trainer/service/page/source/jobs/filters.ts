/** What narrows the table down: states with their counts, a text, a user, a kind. */

import { debounced, h, say, set } from "../dom";
import { count } from "../format";
import { showState, stateChip } from "../state";
import { STATES, type State, type Who } from "../types";
import type { Filter } from "./list";

export class Filters {
  readonly element: HTMLElement;
  readonly search: HTMLInputElement;
  private readonly all: HTMLButtonElement;
  private readonly allCount = h("span", { class: "soft" });
  private readonly buttons = new Map<State, { button: HTMLButtonElement; count: HTMLElement }>();

  constructor(private filter: Filter, who: Who, private readonly changed: (filter: Filter) => void) {
    const typed = debounced(() => this.change({ text: this.search.value.trim() }), 250);
    this.search = h("input", {
      type: "search", class: "grow", placeholder: "Name or id  ( / )", "aria-label": "Find by name or id",
      value: filter.text, on: { input: typed.soon },
    });
    const user = h("input", {
      type: "text", class: "user", placeholder: "User", "aria-label": "Only of this user", value: filter.user,
    });
    user.addEventListener("input", debounced(() => this.change({ user: user.value.trim() }), 250).soon);
    const kind = h("select", { "aria-label": "Kind" },
      [["", "All kinds"], ["train", "train"], ["crossval", "crossval"], ["sweep", "sweep"]].map(
        ([value, words]) => h("option", { value, selected: value === filter.kind }, words)));
    kind.addEventListener("change", () => this.change({ kind: kind.value }));
    this.all = h("button", { type: "button", class: "filter", on: { click: () => this.change({ states: [] }) } },
      "all", this.allCount);
    for (const state of STATES) {
      const number = h("span", { class: "soft" });
      const button = h("button", { type: "button", class: "filter", on: { click: () => this.toggle(state) } },
        stateChip(state), number);
      this.buttons.set(state, { button, count: number });
    }
    this.element = h("div", { class: "filters" },
      h("div", { class: "states", role: "group", "aria-label": "States" },
        this.all, ...[...this.buttons.values()].map(({ button }) => button)),
      h("div", { class: "fields" }, this.search, who.all || who.role === "admin" ? user : null, kind));
    this.mark();
  }

  show(counts: Partial<Record<State, number>>): void {
    say(this.allCount, count(Object.values(counts).reduce((sum, n) => sum + n, 0)));
    for (const [state, { button, count: number }] of this.buttons) {
      say(number, count(counts[state] ?? 0));
      button.classList.toggle("none", !counts[state] && !this.filter.states.includes(state));
      showState(button.firstElementChild as HTMLElement, state);
    }
  }

  private toggle(state: State): void {
    const states = this.filter.states.includes(state)
      ? this.filter.states.filter((one) => one !== state) : [...this.filter.states, state];
    this.change({ states });
  }

  private change(part: Partial<Filter>): void {
    this.filter = { ...this.filter, ...part };
    this.mark();
    this.changed(this.filter);
  }

  private mark(): void {
    set(this.all, "aria-pressed", this.filter.states.length === 0 ? "true" : "false");
    for (const [state, { button }] of this.buttons) {
      set(button, "aria-pressed", this.filter.states.includes(state) ? "true" : "false");
    }
  }
}
