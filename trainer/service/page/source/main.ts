/** Starts the page: who is asking, what is to be seen, and what is common to all views. */

import "./styles/all.css";

import { Refused, api, whenSignedOut } from "./api";
import { fill, h } from "./dom";
import { live } from "./live";
import { complain } from "./notice";
import { go, here, links, placeOf, type Place } from "./router";
import { Shell } from "./shell";
import type { Who } from "./types";
import type { Open, View } from "./view";
import { openCompare } from "./compare/view";
import { openEditor } from "./editor/view";
import { openJob } from "./job/view";
import { openJobs } from "./jobs/view";
import { logInView } from "./login";
import { openService } from "./service/view";

const shell = new Shell({ logOut });
let who: Who | null = null;
let view: View | null = null;
let shown = "";
/** The view that was left last, if it can be come back to, with its address and how far it was scrolled. */
let left: { view: View; hash: string; at: number } | null = null;

function opener(place: Place): Open | null {
  const [first, second] = place.path;
  if (first === "jobs" && second) return openJob;
  if (first === "jobs") return openJobs;
  if (first === "new") return openEditor;
  if (first === "compare") return openCompare;
  if (first === "service") return openService;
  return null;
}

/** Shows what the address names; `from` is the one that was left. */
function show(from = ""): void {
  if (!who) return;
  const place = here();
  const open = opener(place);
  if (!open) {
    history.replaceState(null, "", links.jobs());
    return show(from);
  }
  const name = place.path.slice(0, place.path[0] === "jobs" ? 2 : 1).join("/");
  shell.mark(place.path[0] ?? "", place.path.length);
  if (view && name === shown && view.moved?.(place)) return;
  shown = name;
  const kept = left;
  left = null;
  leave(from);
  if (kept && kept.hash === location.hash) {
    view = kept.view;
    shell.show(view, kept.at);
    view.back?.();
  } else {
    kept?.view.close?.();
    view = open(place, who);
    shell.show(view);
  }
}

/** Ends the view that is seen, or keeps it for who comes back. */
function leave(hash: string): void {
  if (view?.back) left = { view, hash, at: scrollY };
  else view?.close?.();
}

async function start(): Promise<void> {
  document.body.prepend(shell.element);
  const code = /^#login=(.+)$/.exec(location.hash)?.[1];
  if (code) {
    // out of the address and the history before anything else: it is a secret, though of one use
    history.replaceState(null, "", links.jobs());
    try {
      return signedIn(await api.logIn({ code: decodeURIComponent(code) }));
    } catch (error) { complain(error); }
  }
  try {
    signedIn(await api.who());
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return askWho();
    shell.show({ title: "trainer", body: h("div", { class: "empty", role: "alert" },
      h("p", {}, (error as Error).message)) });
    setTimeout(() => location.reload(), 5000);
  }
}

function signedIn(user: Who): void {
  who = user;
  shell.greet(user);
  live.start();
  show();
}

function askWho(reason?: string): void {
  who = null;
  view?.close?.();
  left?.view.close?.();
  view = left = null;
  shown = "";
  live.stop();
  shell.greet(null);
  shell.show(logInView(signedIn, reason));
}

async function logOut(): Promise<void> {
  try { await api.logOut(); } catch (error) { if (!(error instanceof Refused)) return complain(error); }
  askWho();
}

const lost = (): void => { if (who) askWho("You were logged out: the session has ended."); };
whenSignedOut(lost);
addEventListener("signed-out", lost);
addEventListener("hashchange", (event) => {
  // a link of `train service` that is opened in a tab that shows the page already
  if (/^#login=/.test(location.hash)) return location.reload();
  shell.closeHelp();
  if (placeOf(new URL(event.newURL).hash).path.length) show(new URL(event.oldURL).hash);
  else if (!location.hash.startsWith("#main")) go(links.jobs());
});

/** Keys that work everywhere outside of fields; `/` and others belong to the views. */
addEventListener("keydown", (event) => {
  const target = event.composedPath()[0] as HTMLElement;
  const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName ?? "");
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!who || (typing && !(target instanceof HTMLInputElement && target.type === "checkbox"))) return;
  const meant = view?.key?.(event.key) || common(event.key);
  if (meant) event.preventDefault();
});

function common(key: string): boolean {
  if (key === "?") shell.help();
  else if (key === "n") go(links.fresh());
  else if (key === "j") go(links.jobs());
  else if (key === "s") go(links.service());
  else if (key === "/") { go(links.jobs()); setTimeout(() => view?.key?.("/"), 50); }
  else return false;
  return true;
}

fill(document.body);
void start();
