/** What an event makes of a job that is known already. */

import type { Heard, Job, ProgressData, StateData } from "./types";
import { OVER } from "./types";

/** The job after the event; the same one where nothing of it changed. */
export function after(job: Job, event: Heard): Job {
  if (event.kind === "state") {
    const data = event.data as unknown as StateData;
    return {
      ...job,
      state: data.to,
      reason: data.reason ?? "",
      attempt: data.attempt ?? job.attempt,
      wish: OVER.includes(data.to) || data.to === "paused" ? null : job.wish,
      started: data.to === "running" ? job.started ?? event.time : job.started,
      ended: OVER.includes(data.to) ? event.time : job.ended,
      place: data.to === "queued" ? job.place : null,
    };
  }
  if (event.kind === "progress") {
    const data = event.data as ProgressData;
    return {
      ...job,
      epoch: data.epoch ?? job.epoch,
      epochs: data.epochs ?? job.epochs,
      step: data.step ?? job.step,
      metrics: { ...job.metrics, ...lastOf(data), ...bestOf(job, data) },
    };
  }
  const priority = event.data.priority;
  return typeof priority === "number" ? { ...job, priority } : job;
}

function lastOf(data: ProgressData): Record<string, number> {
  const found: Record<string, number> = { ...data.metrics };
  for (const [name, points] of Object.entries(data.series ?? {})) {
    const point = points.at(-1);
    if (typeof point?.[1] === "number" && !name.includes("/") && !name.endsWith("_step") && !(name in found)) found[name] = point[1];
  }
  return found;
}

/** The best validation loss so far, which the run itself tells only at its end. */
function bestOf(job: Job, data: ProgressData): Record<string, number> {
  const points = (data.series?.val_loss ?? []).map((point) => point[1]).filter((value): value is number => Number.isFinite(value));
  const before = job.metrics.best_val_loss;
  if (before === undefined && job.epoch > 0) return {}; // it may have been better before we listened
  const best = Math.min(...points, before ?? Infinity);
  return points.length && best !== before ? { best_val_loss: best } : {};
}
