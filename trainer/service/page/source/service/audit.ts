/** The audit log: who did what, each line sealed by the one before it. */

import { api } from "../api";
import { button, fill, h } from "../dom";
import { inLine, moment } from "../format";
import { complain, failure } from "../notice";
import type { AuditEntry } from "../types";

export function auditPart(): HTMLElement {
  const lines = h("tbody", {});
  const foot = h("p", {});
  const list = h("div", { class: "scroll" }, h("table", { class: "audit" },
    h("thead", {}, h("tr", {}, ["number", "time", "user", "action", "of", "detail", "seal"].map((name) =>
      h("th", { scope: "col" }, name)))), lines));
  let last: number | undefined;
  let shown = 0;

  async function more(): Promise<void> {
    let entries: AuditEntry[];
    try { entries = await api.audit(last); } catch (error) {
      if (shown) return complain(error);
      return fill(list, failure(error));
    }
    lines.append(...entries.map((entry) => h("tr", {},
      h("td", { class: "soft right" }, entry.number), h("td", {}, moment(entry.time)), h("td", {}, entry.user),
      h("td", {}, entry.action), h("td", {}, entry.target),
      h("td", { class: "detail" }, Object.entries(entry.detail ?? {}).map(([key, value]) => `${key} ${inLine(value)}`).join(", ")),
      h("td", {}, h("code", { title: entry.hash }, entry.hash.slice(0, 8))))));
    const before = last;
    last = entries.at(-1)?.number ?? last;
    shown += entries.length;
    fill(foot, entries.length && last !== before ? button("Show more", {}, () => void more())
      : h("span", { class: "soft" }, shown ? "That is all." : "Nothing was done yet."));
  }

  void more();
  return h("section", {}, h("h2", {}, "Audit log"), list, foot);
}
