/** The jobs: filtered, sorted, live, and to be chosen from. */

import { actOnAll, WORDS, type Action } from "../actions";
import { button, fill, h, say } from "../dom";
import { count, plural } from "../format";
import { failure, notify } from "../notice";
import { amend, go, hashOf, links, type Place } from "../router";
import type { Job, Who } from "../types";
import type { View } from "../view";
import { Head, MetricMenu, USUAL } from "./columns";
import { Filters } from "./filters";
import { JobList, type Filter } from "./list";
import { RowWindow } from "./window";

const MOST_COMPARED = 12;
const CHOSEN = "trainer.chosen";

export function openJobs(place: Place, who: Who): View {
  let filter = filterOf(place);
  let metrics = metricsOf(place);
  const chosen = new Set<string>(JSON.parse(sessionStorage.getItem(CHOSEN) ?? "[]") as string[]);
  let last = ""; // the job that was chosen last, where a range begins

  const box = h("div", { class: "rows", role: "rowgroup" });
  const all = h("input", { type: "checkbox", "aria-label": "Choose all that are loaded" });
  const head = new Head(all, sortBy);
  const table = h("div", { class: "table", role: "table", "aria-label": "Jobs" }, head.element, box);
  const empty = h("div", { class: "empty" });
  const foot = h("p", { class: "soft small foot" });
  const fresh = button("", { class: "fresh" }, () => { scrollTo(0, 0); void list.load(); });
  const bar = h("div", { class: "choice", role: "toolbar", "aria-label": "Chosen jobs", hidden: true });
  const menu = new MetricMenu(metrics, (chosenMetrics) => {
    metrics = chosenMetrics;
    menu.set(metrics);
    rows.columns(metrics);
    remember();
    update();
  });
  const filters = new Filters(filter, who, (changed) => { filter = { ...changed, sort: filter.sort }; reload(); });
  filters.element.querySelector(".fields")!.append(menu.element);

  const atTop = (): boolean => scrollY < 200;
  let list = new JobList(filter, update, atTop);
  const rows = new RowWindow(box, () => list, who, metrics, chosen, { choose, changed: (job) => list.put(job) });

  function reload(): void {
    remember();
    list.close();
    const before = list;
    list = new JobList(filter, update, atTop);
    list.jobs = before.jobs; // until the answer is there: no jump to nothing and back
    list.counts = before.counts;
    head.show(metrics, filter.sort);
  }

  function update(): void {
    filters.show(list.counts);
    head.show(metrics, filter.sort);
    table.style.setProperty("--metrics", String(metrics.length));
    menu.hear(list.jobs.slice(0, 100).flatMap((job) => Object.keys(job.metrics).filter((n) => !n.includes("/"))));
    showEmpty();
    say(foot, !list.jobs.length ? "" : list.more
      ? `${count(list.jobs.length)} of ${plural(list.total, "job")} loaded; more come as you scroll.`
      : `${plural(list.jobs.length, "job")}.`);
    fresh.hidden = list.fresh === 0 || atTop() || filter.sort !== "-number";
    say(fresh, `${plural(list.fresh, "new job")}: show`);
    showChoice();
    rows.update();
  }

  function showEmpty(): void {
    const none = list.loaded && !list.jobs.length;
    empty.hidden = !none && !list.error;
    table.hidden = !list.jobs.length;
    if (list.error) return fill(empty, failure(list.error, () => void list.load()));
    if (!none) return;
    const narrowed = filter.states.length || filter.text || filter.user || filter.kind;
    fill(empty, ...(narrowed
      ? [h("p", {}, "No job fits these filters."),
        h("a", { class: "button", href: links.jobs() }, "Show all jobs")]
      : [h("p", {}, "No jobs yet. A job is a spec in YAML; the editor has some to begin with."),
        who.role !== "reader" && h("a", { class: "button primary", href: links.fresh() }, "Write the first")]));
  }

  function showChoice(): void {
    const jobs = [...chosen].map((id) => list.job(id)).filter((job): job is Job => Boolean(job));
    all.checked = list.jobs.length > 0 && list.jobs.every((job) => chosen.has(job.id));
    all.indeterminate = chosen.size > 0 && !all.checked;
    const was = bar.hidden;
    bar.hidden = chosen.size === 0;
    if (bar.hidden) return;
    if (was) {
      const tools = who.role === "reader" ? [] : (["pause", "resume", "cancel", "up", "down"] as Action[]);
      fill(bar, h("strong", {}), button("Compare", { icon: "compare", class: "primary" }, compare),
        tools.map((action) => button(WORDS[action], { icon: action }, () =>
          void actOnAll(action, [...chosen].map((id) => list.job(id)).filter((job): job is Job => Boolean(job)),
            (job) => list.put(job)))),
        button("Choose none", { class: "plain" }, () => { chosen.clear(); keep(); }));
    }
    say(bar.firstElementChild!, `${count(chosen.size)} chosen`);
    bar.title = jobs.slice(0, 20).map((job) => job.name).join(", ");
  }

  function compare(): void {
    const ids = [...chosen];
    if (ids.length > MOST_COMPARED) {
      return notify(`Up to ${MOST_COMPARED} jobs can be compared at once; ${ids.length} are chosen.`, "bad");
    }
    go(links.compare(ids));
  }

  function choose(id: string, on: boolean, range: boolean): void {
    const from = range && last ? list.place(last) : -1;
    const to = list.place(id);
    const [first, end] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
    for (const job of list.jobs.slice(first, end + 1)) {
      if (on) chosen.add(job.id);
      else chosen.delete(job.id);
    }
    last = id;
    keep();
  }

  function keep(): void {
    sessionStorage.setItem(CHOSEN, JSON.stringify([...chosen].slice(0, 1000)));
    showChoice();
    rows.update();
  }
  all.addEventListener("change", () => {
    for (const job of list.jobs) {
      if (all.checked) chosen.add(job.id);
      else chosen.delete(job.id);
    }
    keep();
  });

  function sortBy(key: string): void {
    // numbers first from the small end, where losses are good; times and numbers from the new end
    const first = key === "created" || key === "epoch" ? `-${key}` : key;
    const other = first.startsWith("-") ? key : `-${key}`;
    filter = { ...filter, sort: filter.sort === first ? other : filter.sort === other ? "-number" : first };
    scrollTo(0, 0);
    reload();
  }

  function remember(): void {
    amend(hashOf(["jobs"], {
      state: filter.states.join(","), user: filter.user, kind: filter.kind, text: filter.text,
      sort: filter.sort === "-number" ? null : filter.sort,
      metrics: metrics.join() === USUAL.join() ? null : metrics.join(",") || "none",
    }));
  }

  update();
  return {
    title: "Jobs",
    body: h("section", { class: "jobs" },
      h("h1", { class: "hidden" }, "Jobs"), filters.element, bar, fresh, table, empty, foot),
    moved: (to) => {
      if (hashOf(["jobs"], Object.fromEntries(to.query)) === location.hash && same(filterOf(to), filter)) return true;
      return false;
    },
    key: (key) => {
      if (key === "/") filters.search.focus();
      else if (key === "ArrowDown") rows.step(1);
      else if (key === "ArrowUp") rows.step(-1);
      else if (key === "x" && rows.focused()) choose(rows.focused()!, !chosen.has(rows.focused()!), false);
      else if (key === "c" && chosen.size) compare();
      else return false;
      return true;
    },
    back: update,
    close: () => { list.close(); rows.close(); },
  };
}

const same = (one: Filter, other: Filter): boolean => JSON.stringify(one) === JSON.stringify(other);

function filterOf({ query }: Place): Filter {
  return {
    states: query.get("state")?.split(",").filter(Boolean) ?? [],
    user: query.get("user") ?? "",
    kind: query.get("kind") ?? "",
    text: query.get("text") ?? "",
    sort: query.get("sort") ?? "-number",
  };
}

function metricsOf({ query }: Place): string[] {
  const text = query.get("metrics");
  return text === null ? USUAL : text.split(",").filter((name) => name && name !== "none");
}
