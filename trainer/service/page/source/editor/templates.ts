/** Specs to begin with. Those of the repository are what they are there. */

import hidden from "../../../../../configs/hidden_layer.yaml";
import line from "../../../../../configs/linear_regression.yaml";
import xor from "../../../../../configs/xor.yaml";
import sweep from "./sweep.yaml";
import table from "./table.yaml";

export interface Template { key: string; title: string; about: string; text: string }

/** Without the line that tells editors of the schema: this one knows it. */
const plain = (text: string): string => text.replace(/^# yaml-language-server:.*\n/, "");

export const TEMPLATES: readonly Template[] = [
  { key: "hidden_layer", title: "Classes", about: "a hidden layer on a bundled table", text: plain(hidden) },
  { key: "linear_regression", title: "Numbers", about: "linear regression, a bundled table", text: plain(line) },
  { key: "xor", title: "XOR", about: "four rows that stand in the spec", text: plain(xor) },
  { key: "table", title: "Your table", about: "a CSV file that you send", text: plain(table) },
  { key: "sweep", title: "Sweep", about: "many settings tried", text: plain(sweep) },
];
