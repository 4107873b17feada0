/** What may be done to jobs, and doing it. */

import { api } from "./api";
import { plural } from "./format";
import { announce, complain, notify } from "./notice";
import { isOver, type Job, type Who } from "./types";

export type Action = "cancel" | "pause" | "resume" | "up" | "down";
export const WORDS: Record<Action, string> = {
  cancel: "Cancel", pause: "Pause", resume: "Resume", up: "Sooner", down: "Later",
};
const DONE: Record<Action, string> = {
  cancel: "cancelled", pause: "paused", resume: "resumed", up: "moved forward", down: "moved back",
};

export function mayControl(who: Who, job: Job): boolean {
  if (who.role === "admin") return true;
  return who.role === "submitter" && (who.all || who.user === job.user);
}

/** The actions that make sense for a job in its state. */
export function actionsFor(job: Job): Action[] {
  if (isOver(job)) return [];
  if (job.state === "paused") return ["resume", "cancel"];
  if (job.state === "running") return job.wish === "cancel" ? [] : job.wish ? ["cancel"] : ["pause", "cancel"];
  return ["up", "down", "pause", "cancel"];
}

/** Does it, and returns the job as the service then knows it, where it tells. */
export async function act(action: Action, job: Job): Promise<Job | null> {
  if (action === "up" || action === "down") {
    const priority = job.priority + (action === "up" ? 1 : -1);
    await api.prioritize(job.id, priority);
    return { ...job, priority };
  }
  const told = await api[action](job.id) as (Job & { job?: Job }) | null;
  const now = told?.job ?? told;
  return now?.id ? { ...job, ...now } : null;
}

/** Does it to several, a few at a time, and tells how it went. */
export async function actOnAll(
  action: Action, jobs: readonly Job[], changed: (job: Job) => void,
): Promise<void> {
  const fitting = jobs.filter((job) => actionsFor(job).includes(action));
  if (!fitting.length) return notify(`None of the chosen jobs can be ${DONE[action]} now.`);
  let done = 0;
  const waiting = [...fitting];
  const worker = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      try {
        const now = await act(action, job);
        if (now) changed(now);
        done += 1;
      } catch (error) { complain(error); }
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  if (done) notify(`${plural(done, "job")} ${DONE[action]}.`);
}

/** Does it to one, told to screen readers alone: the row shows it. */
export async function actOnOne(action: Action, job: Job, changed: (job: Job) => void): Promise<void> {
  try {
    const now = await act(action, job);
    if (now) changed(now);
    announce(`${job.name} ${DONE[action]}`);
  } catch (error) { complain(error); }
}
