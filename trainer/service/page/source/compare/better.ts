/** Which way a metric is better, by its name; null where neither is. */

const HIGHER = ["accuracy", "f1", "auc", "r2"];
const LOWER = ["loss", "rmse", "mae"];

export function isHigherBetter(name: string): boolean | null {
  if (name.startsWith("grad_norm") || name === "best_epoch") return null;
  if (HIGHER.some((end) => name.endsWith(end))) return true;
  return LOWER.some((end) => name.endsWith(end)) ? false : null;
}
