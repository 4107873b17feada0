/** The door: a token, typed or pasted. A link of `train service` needs none of this. */

import { Refused, api } from "./api";
import { button, h, say } from "./dom";
import type { Who } from "./types";
import type { View } from "./view";

export function logInView(done: (who: Who) => void, reason = ""): View {
  const field = h("input", {
    type: "password", id: "token", name: "token", autocomplete: "current-password", required: true,
    spellcheck: "false", placeholder: "trn_…", "aria-describedby": "token-help token-said",
  });
  const said = h("p", { class: "bad", id: "token-said", role: "alert" }, reason);
  const enter = button("Log in", { type: "submit", class: "primary" });
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const token = field.value.trim();
    if (!token) return;
    enter.disabled = true;
    say(said, "");
    try {
      done(await api.logIn({ token }));
    } catch (error) {
      const unknown = error instanceof Refused && error.status === 401;
      say(said, unknown && !error.kind ? "This token is not known here." : (error as Error).message);
      field.select();
    } finally { enter.disabled = false; }
  };
  const body = h("section", { class: "door" },
    h("h1", {}, "Log in"),
    h("p", { class: "soft" }, "Train networks from specs, watch them learn, compare them."),
    h("form", { on: { submit: (event) => void submit(event) } },
      h("label", { for: "token" }, "Token"), field,
      h("p", { class: "soft small", id: "token-help" },
        "An admin makes one with ", h("code", {}, "train token add"),
        ". It is given to the service once; the browser then holds a cookie that no script can read."),
      said, enter));
  queueMicrotask(() => field.focus());
  return { title: "Log in", body };
}
