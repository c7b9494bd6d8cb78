/**
 * A connection that comes back: one Client after the other, with growing pauses between them.
 */

import { connect } from "./client.js";

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 10_000;
const GROWTH = 1.8;

/** What stood so long is not counted as one more failure. */
const STABLE_MS = 5_000;

/** @typedef {"connecting" | "live" | "waiting"} State */

export class Link {
  /** @type {import("./client.js").Client} */
  client;
  /** @type {State} */
  state = "connecting";
  /** Why the last connection ended, in words. */
  reason = "";
  /** When the next attempt begins, in `performance.now()` milliseconds. */
  retryAt = 0;

  #url;
  #options;
  #pause = FIRST_PAUSE_MS;
  #liveSince = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string} url
   * @param {import("./client.js").Options} options for every Client
   */
  constructor(url, options) {
    this.#url = url;
    this.#options = options;
    this.client = this.#connect();
  }

  /** Try again now, if waiting. */
  hurry() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.client = this.#connect();
  }

  #connect() {
    this.state = "connecting";
    return connect(this.#url, {
      ...this.#options,
      onWelcome: (welcome) => {
        this.state = "live";
        this.#liveSince = performance.now();
        this.#options.onWelcome?.(welcome);
      },
      onClose: (closed) => {
        this.#wait(closed);
        this.#options.onClose?.(closed);
      },
    });
  }

  /** @param {import("./client.js").Closed} closed */
  #wait({ code, reason }) {
    const now = performance.now();
    if (this.state === "live" && now - this.#liveSince > STABLE_MS) this.#pause = FIRST_PAUSE_MS;
    // Spread out, so that a server that comes back isn't met by everybody at once.
    const pause = this.#pause * (0.75 + 0.5 * Math.random());
    this.#pause = Math.min(MAX_PAUSE_MS, this.#pause * GROWTH);
    this.reason = describe(code, reason, this.state === "live");
    this.state = "waiting";
    this.retryAt = now + pause;
    this.#timer = setTimeout(() => this.hurry(), pause);
  }
}

/**
 * @param {number} code
 * @param {string} reason
 * @param {boolean} wasLive
 */
function describe(code, reason, wasLive) {
  if (code === 1001) return "The server has stopped";
  if (code === 1013) return "The server is full";
  if (code === 4002 || code === 4003) return "The server speaks another version; reload the page";
  if (code === 1006 || code === 1005) return wasLive ? "Connection lost" : "No server answers";
  return `Closed with ${code}${reason ? `: ${reason}` : ""}`;
}
