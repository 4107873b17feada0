/** What is around the views: the bar at the top, the banner, help. */

import { button, fill, h, icon, ICONS, say, set } from "./dom";
import { live } from "./live";
import { announce, noticeArea } from "./notice";
import { links } from "./router";
import type { Who } from "./types";
import type { View } from "./view";

const KEYS: readonly [string, string][] = [
  ["n", "new job"], ["j", "jobs"], ["s", "service"], ["/", "find a job by its name"],
  ["↑ ↓", "go through the jobs; Enter opens one"], ["x", "choose the job, to compare or stop it"],
  ["c", "compare the chosen jobs"], ["Ctrl Enter", "submit what is in the editor"],
  ["Ctrl Space", "what could stand here, in the editor"], ["Esc Tab", "one after the other: leave the editor"],
  ["l", "logarithmic axis of the curves"], ["?", "this help"],
];

export class Shell {
  readonly element: HTMLElement;
  private readonly main = h("main", { id: "main", tabindex: "-1" });
  private readonly nav = h("nav", { "aria-label": "Pages" });
  private readonly person = h("div", { class: "person" });
  private readonly banner = h("div", { class: "banner", role: "status", hidden: true });
  private readonly keys: HTMLDialogElement;
  private readonly pages: Record<string, HTMLAnchorElement>;

  constructor(private readonly acts: { logOut(): void }) {
    this.pages = {
      jobs: h("a", { href: links.jobs() }, "Jobs"),
      service: h("a", { href: links.service() }, "Service"),
      new: h("a", { href: links.fresh(), class: "button primary" }, icon(ICONS.plus), "New", h("span", { class: "rest" }, "job")),
    };
    this.nav.append(...Object.values(this.pages));
    this.nav.hidden = true;
    this.keys = h("dialog", { class: "keys", "aria-labelledby": "keys-title" },
      h("h2", { id: "keys-title" }, "Keys"),
      h("dl", {}, KEYS.map(([key, what]) => [
        h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, what)])),
      h("form", { method: "dialog" }, h("button", {}, "Close")));
    const skip = h("a", { class: "skip", href: "#main", on: { click: (event) => {
      event.preventDefault(); // the hash of the address is ours
      this.main.focus();
    } } }, "Skip to the content");
    this.element = h("div", { class: "shell" }, skip,
      h("header", { class: "top" },
        h("a", { class: "brand", href: links.jobs() }, mark(), h("span", {}, "trainer")),
        this.nav, this.person),
      this.banner, this.main, this.keys, noticeArea());
    live.watch(() => this.tellStanding());
    history.scrollRestoration = "manual"; // views of other heights come and go at one address
  }

  /** Shows a view, from its top or as far down as it was. */
  show(view: View, at = 0): void {
    document.title = view.title === "trainer" ? "trainer" : `${view.title} · trainer`;
    const first = !this.main.firstChild;
    fill(this.main, view.body);
    scrollTo(0, at);
    // what has the focus is gone with the old view: the keyboard goes on where the new one begins
    if (!first && !this.main.contains(document.activeElement)) this.main.focus({ preventScroll: true });
    announce(view.title);
  }

  mark(page: string, depth: number): void {
    for (const [name, link] of Object.entries(this.pages)) {
      set(link, "aria-current", name !== page ? null : depth > 1 ? "true" : "page");
    }
  }

  greet(who: Who | null): void {
    this.nav.hidden = !who;
    const page = this.pages.new!;
    page.hidden = who?.role === "reader";
    if (!who) { fill(this.person); this.banner.hidden = true; return; }
    fill(this.person,
      h("span", { class: "who", title: `${who.role}${who.all ? ", sees all jobs" : ""}` },
        h("span", { class: "dot", "aria-hidden": "true" }),
        who.user, h("span", { class: "soft role" }, who.role)),
      button("Keys", { quiet: true, class: "plain help", title: "Keys (?)" }, () => this.help()),
      button("Log out", { icon: "out", quiet: true, class: "plain" }, this.acts.logOut));
    this.person.querySelector(".help")?.append("?");
    this.tellStanding();
  }

  help(): void { if (!this.keys.open) this.keys.showModal(); }
  closeHelp(): void { if (this.keys.open) this.keys.close(); }

  private tellStanding(): void {
    set(this.element, "data-standing", live.standing);
    const away = live.standing === "away" && !this.nav.hidden;
    if (away === !this.banner.hidden) return;
    this.banner.hidden = !away;
    if (!away) return announce("Connected again.");
    const words = h("span", {});
    fill(this.banner, words, button("Try now", { class: "plain" }, () => live.connect()));
    say(words, "No connection to the service. What you see may be old; it is tried again by itself.");
  }
}

function mark(): SVGSVGElement {
  const svg = icon("M1.500 2c1.500 7 4.500 10 12.500 10.500");
  svg.setAttribute("class", "mark");
  return svg;
}
