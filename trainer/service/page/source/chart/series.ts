/** How the series of a run are grouped into charts, and grow. */

import type { Series } from "../types";
import type { Curve } from "./chart";

export interface Group {
  key: string;
  title: string;
  names: string[];
  /** Its values are sizes: where they span decades, a logarithmic axis tells more. */
  log: boolean;
  across: string;
}

const PART = /^(train|val|test)_/;
const ORDER = ["loss", "accuracy", "r2"];
const LAST = ["grad_norm", "learning_rate"];
const TITLES: Record<string, string> = {
  loss: "Loss", accuracy: "Accuracy", r2: "R²", grad_norm: "Gradient norms", learning_rate: "Learning rate",
  auc: "AUC", f1: "F1", rmse: "RMSE", mae: "MAE",
};

/** The charts of a run, the most telling first. */
export function groups(series: Series): Group[] {
  const found = new Map<string, Group>();
  for (const name of Object.keys(series)) {
    const step = name.endsWith("_step");
    const plain = name.replace(/_step$/, "");
    const base = plain.startsWith("grad_norm") ? "grad_norm" : plain.replace(PART, "");
    const key = step ? `${base}_step` : base;
    let group = found.get(key);
    if (!group) {
      const title = TITLES[base] ?? sentence(base);
      group = { key, title: step ? `${title}, step by step` : title, names: [], log: base === "grad_norm" || base.endsWith("loss"),
        across: step ? "step" : "epoch" };
      found.set(key, group);
    }
    group.names.push(name);
  }
  const rank = ({ key }: Group): number => {
    if (ORDER.includes(key)) return ORDER.indexOf(key);
    const last = LAST.indexOf(key);
    return last >= 0 ? 100 + last : key.endsWith("_step") ? 200 : 50;
  };
  const all = [...found.values()].sort((a, b) => rank(a) - rank(b) || a.key.localeCompare(b.key));
  for (const group of all) group.names.sort(byPart);
  return all;
}

const sentence = (name: string): string => {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

function byPart(one: string, other: string): number {
  const rank = (name: string): number => ["train", "val", "test"].indexOf(PART.exec(name)?.[1] ?? "") + 1;
  return rank(one) - rank(other) || one.localeCompare(other);
}

/** The curves of a group. Training is blue and validation orange and dashed, as in the pictures. */
export function curvesOf(group: Group, series: Series): Curve[] {
  const parts = group.names.every((name) => PART.test(name));
  return group.names.map((name, i): Curve => {
    const part = PART.exec(name)?.[1];
    const points = series[name] ?? [];
    if (parts && part) {
      const label = { train: "training", val: "validation", test: "test" }[part];
      return { name, label, points, tint: part === "train" ? 0 : part === "val" ? 1 : 2, dashed: part === "val" };
    }
    return { name, label: name.startsWith("grad_norm/") ? name.slice(10) : name.replaceAll("_", " "), points, tint: i };
  });
}

/** Adds points that came; what was told again, or trained again after a break, is put in place. */
export function grow(series: Series, more: Series): void {
  for (const [name, points] of Object.entries(more)) {
    const kept = series[name] ??= [];
    const first = points[0]?.[0];
    if (first === undefined) continue;
    while (kept.length && kept.at(-1)![0] >= first) kept.pop();
    kept.push(...points);
  }
}
