/**
 * The stream of events: one connection for the page, kept alive, and gone on with where it broke off.
 *
 * A browser opens some six connections to a server, over all tabs. A tab that nobody looks at gives
 * its own back after a while, and asks for what it missed when it is looked at again.
 */

import { Refused, address, api } from "./api";
import type { Heard } from "./types";

export type Standing = "connecting" | "live" | "away";

const KINDS = ["state", "progress", "note"] as const;
const PATIENCE = [500, 1000, 2000, 5000, 10_000]; // milliseconds before the next try
const UNSEEN = 20_000; // milliseconds that a hidden tab keeps its connection

class Live {
  standing: Standing = "connecting";
  private last: number | null = null;
  private source: EventSource | null = null;
  private tries = 0;
  private timer = 0;
  private hiding = 0;
  private wanted = false;
  private readonly listeners = new Set<(event: Heard) => void>();
  private readonly watchers = new Set<(standing: Standing, was: Standing) => void>();

  constructor() {
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.hiding);
      if (document.hidden) this.hiding = window.setTimeout(() => this.close(), UNSEEN);
      else if (this.wanted && !this.source) this.connect();
    });
    addEventListener("offline", () => this.settle("away"));
    addEventListener("online", () => { if (this.wanted) this.connect(); });
  }

  /** Calls back with each event; returns how to stop it. */
  hear(listener: (event: Heard) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Calls back whenever the connection is there (again): something may have been missed. */
  whenLive(act: () => void): () => void {
    return this.watch((standing) => { if (standing === "live") act(); });
  }

  /** Calls back when the connection comes and goes. */
  watch(watcher: (standing: Standing, was: Standing) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  start(): void {
    this.wanted = true;
    this.connect();
  }

  stop(): void {
    this.wanted = false;
    this.last = null;
    this.close();
  }

  /** Tries again at once, for who does not want to wait. */
  connect(): void {
    this.close();
    const source = new EventSource(address("/events", { after: this.last }));
    this.source = source;
    source.onopen = () => { this.tries = 0; this.settle("live"); };
    source.onerror = () => {
      if (this.source === source) void this.failed(source.readyState === EventSource.CLOSED);
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => this.take(kind, message as MessageEvent<string>));
    }
  }

  private take(kind: Heard["kind"], message: MessageEvent<string>): void {
    const number = Number(message.lastEventId);
    if (this.last !== null && number <= this.last) return; // told again after a break
    this.last = number;
    const { job, time, ...data } = JSON.parse(message.data) as Heard & Record<string, unknown>;
    for (const listener of this.listeners) listener({ number, job, time, kind, data });
  }

  /** A broken connection is taken up again by the browser; a refused one is ours to try again. */
  private async failed(refused: boolean): Promise<void> {
    this.settle("away");
    if (refused) {
      this.close();
      const wait = PATIENCE[Math.min(this.tries, PATIENCE.length - 1)]!;
      this.tries += 1;
      this.timer = window.setTimeout(() => this.connect(), wait);
    }
    try {
      await api.who(); // a stream does not tell why it was refused; this does
    } catch (error) {
      if (error instanceof Refused && error.status === 401) dispatchEvent(new Event("signed-out"));
    }
  }

  private close(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  private settle(standing: Standing): void {
    const was = this.standing;
    this.standing = standing;
    if (was !== standing) for (const watcher of this.watchers) watcher(standing, was);
  }
}

export const live = new Live();
