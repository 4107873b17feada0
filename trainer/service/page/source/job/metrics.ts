/** The metrics of a run as a table: a row each, a column for each part of the data. */

import { h } from "../dom";
import { number } from "../format";

const COLUMNS = ["train", "val", "test", "trivial", "mean", "deviation"] as const;
type Column = (typeof COLUMNS)[number];
const TITLES: Record<Column, [title: string, what: string]> = {
  train: ["training", "after the last epoch"],
  val: ["validation", "after the last epoch"],
  test: ["test", "at the end"],
  trivial: ["trivial", "what always predicting the same reaches, on the test rows or else the validation rows"],
  mean: ["mean", "over the test rows of all folds"],
  deviation: ["deviation", "between the folds"],
};
const NAMES: Record<string, string> = { r2: "R²", auc: "AUC", f1: "F1", rmse: "RMSE", mae: "MAE" };

export function metricTable(metrics: Readonly<Record<string, number>>): HTMLElement | null {
  const lines = new Map<string, Partial<Record<Column, number>>>();
  const others: [string, number][] = [];
  const put = (base: string, column: Column, value: number): void => {
    lines.set(base, { ...lines.get(base), [column]: value });
  };
  for (const [name, value] of Object.entries(metrics)) {
    const [, before, part, base] = /^(best_|trivial_)?(train|val|test)_(.+)$/.exec(name) ?? [];
    if (name.includes("/") || name.endsWith("_step") || name.startsWith("last_")) continue;
    const [, fold, sum] = /^test_(.+)_(mean|deviation)$/.exec(name) ?? [];
    if (fold) put(fold, sum as Column, value);
    else if (!base || before === "best_") others.push([name, value]);
    else if (before === "trivial_") {
      if (part === "test" || metrics[`trivial_test_${base}`] === undefined) put(base, "trivial", value);
    } else put(base, part as Column, value);
  }
  if (!lines.size && !others.length) return null;
  const columns = COLUMNS.filter((column) => [...lines.values()].some((line) => line[column] !== undefined));
  return h("div", {},
    lines.size > 0 && h("div", { class: "scroll" }, h("table", { class: "numbers tight" },
      h("thead", {}, h("tr", {}, h("td"), columns.map((column) =>
        h("th", { scope: "col", title: TITLES[column][1] }, TITLES[column][0])))),
      h("tbody", {}, [...lines].map(([name, line]) => h("tr", {},
        h("th", { scope: "row" }, NAMES[name] ?? name.replaceAll("_", " ")),
        columns.map((column) => h("td", { class: column === "trivial" ? "soft" : null },
          line[column] === undefined ? "" : number(line[column])))))))),
    others.length > 0 && h("dl", { class: "facts" }, others.map(([name, value]) =>
      h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, number(value))))));
}
