/** One job: its head, and one of its parts, which the address names. */

import { api } from "../api";
import { after } from "../changes";
import { fill, h, set } from "../dom";
import { live } from "../live";
import { failure } from "../notice";
import { here, links, type Place } from "../router";
import { isOver, type Job, type Who } from "../types";
import type { View } from "../view";
import { Curves } from "./curves";
import { explainPart, filesPart, picturesPart } from "./files";
import { Head } from "./head";
import { attempts, changeOf, historyList, type Change } from "./history";
import { metricTable } from "./metrics";
import { Outcome } from "./outcome";
import { specPart } from "./specs";

const PARTS = [["", "Progress"], ["spec", "Spec"], ["pictures", "Pictures"], ["explain", "Backprop"],
  ["files", "Files"]] as const;

export function openJob(place: Place, who: Who): View {
  const id = place.path[1]!;
  let job: Job | null = null;
  let part = place.path[2] ?? "";
  let changes: Change[] = [];
  const head = new Head(who, (now) => show(now));
  const tabs = h("nav", { class: "tabs", "aria-label": "Parts of this job" });
  const body = h("div", { class: "part" });
  const element = h("article", { class: "job" }, h("p", { class: "soft" }, "Loading…"));
  const metrics = h("section", { class: "metrics", "aria-label": "Metrics" });
  const history = h("section", { class: "past" });
  let final: Record<string, number> = {}; // what the run itself tells, which is more than its last event did
  const outcome = new Outcome((metrics) => { final = metrics; if (job) showMetrics(job); });
  let curves: Curves | null = null;

  const missed = live.whenLive(() => { if (job) { void reload(); void curves?.load(); void loadChanges(); } });
  const stop = live.hear((event) => {
    if (!job || event.job !== job.id) return;
    const now = after(job, event);
    if (event.kind !== "progress" && !changes.some((one) => one.number === event.number)) {
      changes = [...changes, changeOf(event)];
      showHistory();
    }
    if (now !== job) show(now);
    if (event.kind === "state") void reload(); // what the event does not tell: seconds, links, digest
  });
  const clock = setInterval(() => { // times that grow
    if (!job || isOver(job)) return;
    head.show(job);
    if (changes.length) showHistory();
  }, 1000);

  async function load(): Promise<void> {
    try {
      job = await api.job(id);
    } catch (error) { return fill(element, failure(error, () => void load())); }
    fill(tabs, PARTS.map(([name, words]) => h("a", { href: links.job(id, name), "data-part": name }, words)));
    fill(element, head.element, tabs, body);
    show(job);
    openPart();
    await loadChanges();
  }

  async function loadChanges(): Promise<void> {
    try {
      changes = (await api.changes(id)).map(changeOf);
      showHistory();
    } catch { /* the job itself is shown */ }
  }

  async function reload(): Promise<void> {
    try { show(await api.job(id)); } catch { /* the stream brings more */ }
  }

  function show(now: Job): void {
    job = now;
    document.title = `${now.name} ${now.state} · trainer`;
    head.show(now);
    curves?.update(now);
    outcome.update(now);
    showMetrics(now);
  }

  function showMetrics(now: Job): void {
    fill(metrics, h("h2", {}, "Metrics"),
      metricTable({ ...now.metrics, ...final }) ?? h("p", { class: "soft" }, "None yet."));
  }

  function showHistory(): void {
    const told = attempts(changes);
    fill(history, h("h2", {}, "What happened"), told && h("p", { class: "soft" }, `It was ${told}.`),
      historyList(changes));
  }

  function openPart(): void {
    if (!job) return;
    for (const link of tabs.querySelectorAll("a")) {
      set(link, "aria-current", link.dataset.part === part ? "page" : null);
    }
    curves?.close();
    curves = null;
    if (part === "spec") fill(body, specPart(job, here()));
    else if (part === "files") fill(body, filesPart(job));
    else if (part === "pictures") fill(body, picturesPart(job));
    else if (part === "explain") fill(body, explainPart(job));
    else {
      curves = new Curves(job);
      fill(body, h("div", { class: "progress-part" },
        h("div", {}, curves.element, outcome.told), h("div", { class: "side" }, metrics, outcome.element, history)));
    }
  }

  void load();
  return {
    title: "Job",
    body: element,
    moved: (to) => {
      if ((to.path[2] ?? "") !== part) {
        part = to.path[2] ?? "";
        openPart();
      }
      return true;
    },
    key: (key) => {
      if (key !== "l" || !curves) return false;
      curves.swapScale();
      return true;
    },
    close: () => { stop(); missed(); clearInterval(clock); curves?.close(); },
  };
}
