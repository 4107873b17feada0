/** The spec of a job: as it was written, with all defaults, and beside another one's. */

import { api } from "../api";
import { button, fill, h } from "../dom";
import { inLine, short } from "../format";
import { complain, failure } from "../notice";
import { amend, links, type Place } from "../router";
import { differences } from "../spec";
import type { Job } from "../types";
import { readOnly } from "../editor/code";

export function specPart(job: Job, place: Place): HTMLElement {
  const text = h("div", { class: "code" });
  const differs = h("div", {});
  const other = place.query.get("with") ?? job.parent ?? "";
  const field = h("input", { type: "text", value: other, placeholder: "id of a job", id: "with", spellcheck: "false",
    size: 12 });
  const look = async (event?: Event): Promise<void> => {
    event?.preventDefault();
    const id = field.value.trim();
    if (!id) return fill(differs, h("p", { class: "soft" }, "Name another job to see what differs."));
    if (event) amend(links.job(job.id, "spec", { with: id }));
    try {
      const [one, two] = await Promise.all([api.resolved(id), api.resolved(job.id)]);
      fill(differs, differenceTable([one, two], [short(id), job.name]));
    } catch (error) { fill(differs, failure(error)); }
  };
  void look();

  let resolved = false;
  const swap = button("All values", { title: "With every default filled in" }, () => {
    resolved = !resolved;
    swap.setAttribute("aria-pressed", String(resolved));
    void show();
  });
  swap.setAttribute("aria-pressed", "false");
  const show = async (): Promise<void> => {
    try {
      const shown = resolved ? asYaml(await api.resolved(job.id)) : await api.spec(job.id);
      fill(text, readOnly(shown, resolved ? "The spec with all defaults" : "The spec as it was written"));
    } catch (error) { fill(text, failure(error, () => void show())); }
  };
  void show();
  const copy = button("Copy", { icon: "copy" }, () => {
    // `navigator.clipboard` is only there on secure origins
    api.spec(job.id).then((spec) => navigator.clipboard.writeText(spec)).then(
      () => { copy.lastChild!.textContent = "Copied"; },
      () => complain(new Error("The browser lets nothing be copied here: select the text instead.")));
  });
  return h("div", { class: "two" },
    h("section", {}, h("div", { class: "line" }, h("h2", {}, "Spec"), h("span", { class: "tools-line" }, swap, copy)), text),
    h("section", {}, h("h2", {}, job.parent === other && other ? "What differs from its parent" : "What differs"),
      h("form", { class: "line start", on: { submit: (event) => void look(event) } },
        h("label", { for: "with" }, "from job"), field, button("Show", { type: "submit" })), differs));
}

/** The keys in which specs differ; the last column is the job that is looked at. */
export function differenceTable(specs: readonly unknown[], names: readonly (string | Node)[]): HTMLElement {
  const found = differences(specs);
  if (!found.length) return h("p", { class: "soft" }, "Nothing: all values are the same.");
  return h("div", { class: "scroll" }, h("table", { class: "differs" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "key"), names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, found.map(({ path, values }) => h("tr", {},
      h("th", { scope: "row" }, h("code", {}, path)), values.map((value) => h("td", {}, inLine(value))))))));
}

/** Plain values as YAML, for reading: strings that could be read as something else are quoted. */
export function asYaml(value: unknown, indent = ""): string {
  if (Array.isArray(value)) {
    if (!value.some((one) => typeof one === "object" && one !== null)) return `[${value.map(scalar).join(", ")}]`;
    return value.map((one) => {
      const text = asYaml(one, `${indent}  `);
      return `\n${indent}- ${text.startsWith("\n") ? text.trimStart() : text}`;
    }).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (!entries.length) return "{}";
    const lines = entries.map(([key, one]) => {
      const text = asYaml(one, typeof one === "object" && !Array.isArray(one) ? `${indent}  ` : indent);
      return `${indent}${scalar(key)}:${text.startsWith("\n") ? text : ` ${text}`}`;
    });
    return indent ? `\n${lines.join("\n")}` : lines.join("\n");
  }
  return scalar(value);
}

function scalar(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return /^[A-Za-z_][\w ./-]*$/.test(value) && !/^(true|false|null|yes|no|on|off|~)$/i.test(value)
    ? value : JSON.stringify(value);
}
