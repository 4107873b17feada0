/** The service itself: its workers, what waits, and for admins who may do what, and who did. */

import { api } from "../api";
import { button, debounced, fill, h } from "../dom";
import { count, short } from "../format";
import { live } from "../live";
import { complain, failure, notify } from "../notice";
import { links, type Place } from "../router";
import { stateChip } from "../state";
import { STATES, type About, type Who } from "../types";
import type { View } from "../view";
import { auditPart } from "./audit";
import { tokensPart } from "./tokens";

export function openService(place: Place, who: Who): View {
  const admin = who.role === "admin";
  let part = place.path[1] ?? "";
  const body = h("div", { class: "part" });
  const tabs = admin ? h("nav", { class: "tabs", "aria-label": "Parts of the service" },
    [["", "Workers"], ["tokens", "Tokens"], ["audit", "Audit log"]].map(([name, words]) =>
      h("a", { href: links.service(name), "data-part": name! }, words))) : null;
  const element = h("section", { class: "service" }, h("h1", {}, "Service"), tabs, body);
  const refresh = debounced(() => { if (part === "") void show(); }, 800);
  const stop = live.hear((event) => { if (event.kind === "state") refresh.soon(); });
  const clock = setInterval(refresh.now, 15_000);

  async function show(): Promise<void> {
    try {
      const about = await api.about();
      if (part === "") fill(body, aboutPart(about));
    } catch (error) { if (!body.firstChild) fill(body, failure(error, () => void show())); }
  }

  function aboutPart(about: About): HTMLElement {
    return h("div", { class: "two" },
      h("section", {}, h("h2", {}, "Workers"),
        about.draining && h("p", { class: "known" }, "It takes no new jobs: what runs is saved, and goes on after the next start."),
        h("ul", { class: "workers" }, about.workers.map((worker) => h("li", { "data-state": worker.state },
          h("span", { class: "dot", "aria-hidden": "true" }), h("strong", {}, worker.name),
          h("span", { class: "soft" }, worker.kind), h("span", {}, worker.state),
          worker.job && h("a", { href: links.job(worker.job) }, short(worker.job)))),
          !about.workers.length && h("li", { class: "soft" }, "There are none yet."))),
      h("section", {}, h("h2", {}, "Jobs"),
        h("ul", { class: "counts" }, STATES.map((state) => h("li", {},
          h("a", { href: links.jobs({ state }) }, stateChip(state), h("span", {}, count(about.counts[state] ?? 0)))))),
        h("h2", {}, "About"),
        h("dl", { class: "facts" },
          facts([["version", about.version], ["store", about.store], ["tracking", about.tracking]])),
        h("p", { class: "tools-line" },
          about.mlflow && h("a", { class: "button", href: about.mlflow, target: "_blank", rel: "noopener" }, "MLflow ↗"),
          admin && !about.draining && button("Drain", { title: "Begin nothing new; what runs is saved" }, () => void drain()))));
  }

  async function drain(): Promise<void> {
    if (!confirm("Begin no more jobs? What runs now is saved. Only a new start of the service ends this.")) return;
    try {
      await api.drain();
      notify("The service begins nothing new.");
    } catch (error) { complain(error); }
    void show();
  }

  function openPart(): void {
    for (const link of tabs?.querySelectorAll("a") ?? []) {
      if (link.dataset.part === part) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    fill(body);
    if (part === "tokens") fill(body, tokensPart());
    else if (part === "audit") fill(body, auditPart());
    else void show();
  }

  openPart();
  return {
    title: "Service",
    body: element,
    moved: (to) => {
      if ((to.path[1] ?? "") !== part) { part = to.path[1] ?? ""; openPart(); }
      return true;
    },
    close: () => { stop(); refresh.drop(); clearInterval(clock); },
  };
}

function facts(all: [string, unknown][]): HTMLElement[] {
  return all.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name),
    h("dd", {}, typeof value === "object" ? Object.entries(value!).map(([k, v]) => `${k} ${String(v)}`).join(", ") : String(value))));
}
