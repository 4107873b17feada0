/** Tokens: who may come in. The secret of a new one is shown once. */

import { api } from "../api";
import { button, fill, h } from "../dom";
import { age, moment } from "../format";
import { complain, failure } from "../notice";
import type { Role, Token } from "../types";

export function tokensPart(): HTMLElement {
  const list = h("div", { class: "scroll" });
  const secret = h("div", { class: "secret", role: "status", hidden: true });

  async function show(): Promise<void> {
    try {
      const tokens = await api.tokens();
      fill(list, h("table", {},
        h("thead", {}, h("tr", {}, ["name", "user", "role", "jobs", "used", "expires", "end"].map((name) =>
          h("th", { scope: "col" }, name)))),
        h("tbody", {}, tokens.map(line))));
    } catch (error) { fill(list, failure(error, () => void show())); }
  }

  function line(token: Token): HTMLElement {
    const over = token.revoked !== null || (token.expires !== null && token.expires < Date.now() / 1000);
    return h("tr", { class: over ? "over" : null },
      h("td", {}, token.name), h("td", {}, token.user), h("td", {}, token.role), h("td", {}, token.all ? "all" : "own"),
      h("td", { title: moment(token.used) }, token.used ? `${age(token.used)} ago` : "never"),
      h("td", {}, token.revoked ? `revoked ${moment(token.revoked)}` : token.expires ? moment(token.expires) : "never"),
      h("td", {}, over ? null : button(`Revoke ${token.name}`, { icon: "cancel", quiet: true, class: "plain" },
        () => void revoke(token))));
  }

  async function revoke(token: Token): Promise<void> {
    if (!confirm(`Revoke '${token.name}' of ${token.user}? Whoever uses it is let in no more.`)) return;
    try { await api.revoke(token.name); } catch (error) { complain(error); }
    void show();
  }

  const field = (id: string, label: string, more: Record<string, string | boolean> = {}): [HTMLElement, HTMLInputElement] => {
    const input = h("input", { type: "text", id, required: true, autocomplete: "off", ...more });
    return [h("label", { for: id }, label, input), input];
  };
  const [nameField, name] = field("token-name", "Name");
  const [userField, user] = field("token-user", "User");
  const [daysField, days] = field("token-days", "Days", { type: "number", min: "1", required: false, placeholder: "no end" });
  const role = h("select", { id: "token-role" }, ["reader", "submitter", "admin"].map((one) =>
    h("option", { value: one, selected: one === "submitter" }, one)));
  const all = h("input", { type: "checkbox" });

  async function create(event: Event): Promise<void> {
    event.preventDefault();
    try {
      const { token } = await api.addToken({ name: name.value.trim(), user: user.value.trim(), role: role.value as Role,
        all: all.checked, days: days.value ? Number(days.value) : null });
      secret.hidden = false;
      fill(secret, h("p", {}, `The secret of '${name.value.trim()}', which is shown only now:`),
        h("code", { tabindex: "0" }, token), button("Hide", { class: "plain" }, () => { secret.hidden = true; fill(secret); }));
      name.value = user.value = "";
    } catch (error) { complain(error); }
    void show();
  }

  void show();
  return h("section", {}, h("h2", {}, "Tokens"),
    h("form", { class: "make", on: { submit: (event) => void create(event) } }, nameField, userField,
      h("label", { for: "token-role" }, "Role", role), daysField,
      h("label", { class: "box" }, all, "sees all jobs"), button("Make a token", { type: "submit", class: "primary" })),
    secret, list);
}
