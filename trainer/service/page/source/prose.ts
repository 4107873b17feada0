/**
 * The little Markdown that runs are described in, as elements: headings, lists, tables, code, bold.
 *
 * It is the service's own text, but names in it are the user's: all of it is set as text.
 */

import { h, type Child } from "./dom";

/** A text in which what stands between backticks is code, and between double stars bold. */
export function inline(text: string): Child[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (/^`.+`$/.test(part)) return h("code", {}, part.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(part)) return h("strong", {}, part.slice(2, -2));
    return part.replace(/\\([\\`*_|[\]])/g, "$1");
  });
}

export function prose(lines: readonly string[]): HTMLElement[] {
  const made: HTMLElement[] = [];
  for (let i = 0; i < lines.length;) {
    const line = lines[i]!;
    const block = (fits: (line: string) => boolean): string[] => {
      const from = i;
      while (i < lines.length && fits(lines[i]!)) i += 1;
      return lines.slice(from, i);
    };
    if (!line.trim()) i += 1;
    else if (/^#+ /.test(line)) {
      made.push(h("h2", {}, inline(line.replace(/^#+ /, ""))));
      i += 1;
    } else if (line.startsWith("|")) made.push(table(block((one) => one.startsWith("|"))));
    else if (/^[-*] /.test(line)) {
      made.push(h("ul", { class: "dots" }, block((one) => /^[-*] /.test(one)).map((one) => h("li", {}, inline(one.slice(2))))));
    } else {
      made.push(h("p", {}, inline(block((one) => one.trim() !== "" && !/^([-*] |#+ |\|)/.test(one)).join(" "))));
    }
  }
  return made;
}

function table(lines: readonly string[]): HTMLElement {
  const cells = (line: string): string[] => line.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
  const [head = [], , ...rows] = lines.map(cells);
  return h("div", { class: "scroll" }, h("table", { class: "told" },
    h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell))))))));
}
