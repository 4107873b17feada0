/** Some jobs beside each other: their curves laid over, their metrics, and what differs in their specs. */

import { api } from "../api";
import { after } from "../changes";
import { Chart, type Curve, type Points } from "../chart/chart";
import { groups, grow } from "../chart/series";
import { sample } from "../chart/colours";
import { atFrame, button, fill, h } from "../dom";
import { number } from "../format";
import { live } from "../live";
import { failure } from "../notice";
import { go, links, type Place } from "../router";
import { stateChip } from "../state";
import type { Job, ProgressData, Series } from "../types";
import type { View } from "../view";
import { differenceTable } from "../job/specs";
import { isHigherBetter } from "./better";

interface Compared { job: Job; letter: string; tint: number; series: Series; spec: unknown }

const FEW = 2; // jobs whose tables fit beside the charts
const FIRST = ["val_loss", "train_loss", "val_accuracy", "val_r2", "train_accuracy", "train_r2", "grad_norm", "learning_rate"];

export function openCompare(place: Place): View {
  const ids = (place.query.get("ids") ?? "").split(",").filter(Boolean);
  const element = h("section", { class: "compare" });
  const names = h("ul", { class: "compared" });
  const grid = h("div", { class: "charts" });
  const table = h("div", {});
  const differs = h("div", {});
  const charts = new Map<string, Chart>();
  let all: Compared[] = [];
  const draw = atFrame(show);

  const stop = live.hear((event) => {
    const one = all.find(({ job }) => job.id === event.job);
    if (!one) return;
    one.job = after(one.job, event);
    const { series } = event.data as ProgressData;
    if (series) grow(one.series, series);
    draw();
  });

  async function load(): Promise<void> {
    if (ids.length < 1) {
      return fill(element, h("h1", {}, "Compare"), h("div", { class: "empty" },
        h("p", {}, "Choose jobs in the table by their boxes, then press Compare."),
        h("a", { class: "button", href: links.jobs() }, "Jobs")));
    }
    try {
      all = await Promise.all(ids.map(async (id, i): Promise<Compared> => {
        const [job, series, spec] = await Promise.all([
          api.job(id), api.curves(id).catch(() => ({})), api.resolved(id).catch(() => ({}))]);
        return { job, series, spec, tint: i, letter: letterOf(i) };
      }));
    } catch (error) { return fill(element, h("h1", {}, "Compare"), failure(error, () => void load())); }
    fill(element, h("h1", {}, "Compare"), names,
      h("div", { class: all.length <= FEW ? "two wide-left" : "two-below" },
        h("section", { "aria-label": "Curves" }, grid),
        h("div", {}, h("section", {}, h("h2", {}, "What differs"), differs),
          h("section", {}, h("h2", {}, "Metrics"), table))));
    fill(differs, all.length > 1
      ? differenceTable(all.map(({ spec }) => unnamed(spec)), all.map(({ letter }) => letter))
      : h("p", { class: "soft" }, "There is only one job here."));
    show();
  }

  function show(): void {
    fill(names, all.map(({ job, letter, tint }) => h("li", {},
      sample(tint), h("strong", {}, letter), h("a", { href: links.job(job.id) }, job.name), stateChip(job.state, job.wish),
      button(`Leave out ${job.name}`, { icon: "cancel", quiet: true, class: "plain" },
        () => go(links.compare(ids.filter((id) => !job.id.startsWith(id))))))));
    showCharts();
    fill(table, metricsOf(all));
  }

  function showCharts(): void {
    const found = new Set(all.flatMap(({ series }) => groups(series)).flatMap(({ names: own }) => own)
      .filter((name) => !name.includes("/")));
    const wanted = [...FIRST.filter((name) => found.has(name)), ...[...found].filter((name) => !FIRST.includes(name)).sort()];
    for (const name of wanted.slice(0, 16)) {
      let chart = charts.get(name);
      if (!chart) {
        chart = new Chart(name.replaceAll("_", " "), name.endsWith("_step") ? "step" : "epoch",
          /loss$|^grad_norm/.test(name));
        charts.set(name, chart);
        grid.append(chart.element);
      }
      const curves = all.filter(({ series }) => series[name]?.length).map(({ job, letter, tint, series }): Curve =>
        ({ name: job.id, label: `${letter} ${job.name}`, points: series[name]!, tint }));
      chart.show(curves);
    }
    if (!wanted.length) fill(grid, h("p", { class: "empty" }, "None of these has a curve yet."));
  }

  void load();
  return {
    title: "Compare",
    body: element,
    moved: (to) => to.query.get("ids") === place.query.get("ids"),
    key: (key) => {
      if (key !== "l") return false;
      for (const chart of charts.values()) chart.swapScale();
      return true;
    },
    close: () => { stop(); draw.drop(); for (const chart of charts.values()) chart.close(); },
  };
}

/** What a job is called stands above. */
const unnamed = (spec: unknown): unknown => ({ ...(spec as object), name: undefined });

/** A, B, … as `train compare` calls them. */
const letterOf = (i: number): string => i < 26 ? String.fromCharCode(65 + i) : `${i + 1}`;

/** The last of each metric, and the best over the epochs where there is a curve. */
function metricsOf(all: readonly Compared[]): HTMLElement {
  const last = [...new Set(all.flatMap(({ job }) => Object.keys(job.metrics)))].filter((name) =>
    !name.includes("/") && !name.endsWith("_step") && !/^(last|trivial)_/.test(name));
  const order = (name: string): number => name.startsWith("test_") ? 0 : name.includes("val_") ? 1 : name.startsWith("train_") ? 2 : 3;
  const plain = (name: string): string => name.replace(/^best_/, "");
  const rows: { name: string; values: (number | undefined)[] }[] = [];
  for (const name of last.sort((a, b) => order(a) - order(b) || plain(a).localeCompare(plain(b)) || b.localeCompare(a))) {
    rows.push({ name, values: all.map(({ job }) => job.metrics[name]) });
    const best = `best_${name}`;
    if (!name.startsWith("best_") && /^val_/.test(name) && !last.includes(best)) {
      rows.push({ name: best, values: all.map(({ series }) => bestOf(name, series[name] ?? [])) });
    }
  }
  if (!rows.length) return h("p", { class: "soft" }, "None yet.");
  return h("div", { class: "scroll" }, h("table", { class: "numbers" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "metric"), all.map(({ letter, job }) =>
      h("th", { scope: "col", title: job.name }, letter)))),
    h("tbody", {}, rows.map(({ name, values }) => {
      const best = bestIndex(name, values);
      return h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), values.map((value, i) =>
        h("td", { class: i === best ? "best" : null }, number(value, 5), i === best ? h("span", { class: "star",
          title: "the best" }, "*") : null)));
    }))));
}

function bestOf(name: string, points: Points): number | undefined {
  const values = points.map((point) => point[1]).filter((value): value is number => Number.isFinite(value));
  if (!values.length) return undefined;
  return isHigherBetter(name) ? Math.max(...values) : Math.min(...values);
}

function bestIndex(name: string, values: readonly (number | undefined)[]): number {
  const higher = isHigherBetter(name);
  if (higher === null || values.filter((value) => value !== undefined).length < 2) return -1;
  const known = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  const best = higher ? Math.max(...known) : Math.min(...known);
  return known.filter((value) => value === best).length === 1 ? values.indexOf(best) : -1;
}
