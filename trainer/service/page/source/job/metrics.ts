/** The metrics of a run as a table: a row each, a column for each part of the data. */

import { h } from "../dom";
import { number } from "../format";

const PARTS = ["train", "val", "test"] as const;
const TITLES = { train: "training", val: "validation", test: "test" };
const NAMES: Record<string, string> = { r2: "R²", auc: "AUC", f1: "F1", rmse: "RMSE", mae: "MAE" };

interface Line { train?: number; val?: number; test?: number; best?: number }

export function metricTable(metrics: Readonly<Record<string, number>>): HTMLElement | null {
  const lines = new Map<string, Line>();
  const others: [string, number][] = [];
  for (const [name, value] of Object.entries(metrics)) {
    const [, best, part, base] = /^(best_)?(train|val|test)_(.+)$/.exec(name) ?? [];
    if (!base || name.endsWith("_step") || name.startsWith("last_")) {
      if (!name.includes("/") && !name.endsWith("_step")) others.push([name, value]);
      continue;
    }
    const line = lines.get(base) ?? {};
    lines.set(base, line);
    if (best) line.best = value;
    else line[part as keyof Line] = value;
  }
  if (!lines.size && !others.length) return null;
  const parts = PARTS.filter((part) => [...lines.values()].some((line) => line[part] !== undefined));
  const best = [...lines.values()].some((line) => line.best !== undefined);
  const cell = (value: number | undefined): HTMLElement => h("td", {}, value === undefined ? "" : number(value, 5));
  return h("div", { class: "scroll" },
    lines.size > 0 && h("table", { class: "numbers" },
      h("thead", {}, h("tr", {}, h("td"), parts.map((part) => h("th", { scope: "col" }, TITLES[part])),
        best && h("th", { scope: "col" }, "best validation"))),
      h("tbody", {}, [...lines].map(([name, line]) => h("tr", {},
        h("th", { scope: "row" }, NAMES[name] ?? name.replaceAll("_", " ")),
        parts.map((part) => cell(line[part])), best && cell(line.best))))),
    others.length > 0 && h("dl", { class: "facts" }, others.map(([name, value]) =>
      h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, number(value, 5))))));
}
