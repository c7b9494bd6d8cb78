/**
 * A connection that comes back: one Client after the other, with growing pauses between them.
 */

import { callbacksOf } from "./callbacks.js";
import { connect } from "./client.js";
import { ConnectionClosed } from "./closes.js";

/** What stood so long isn't one more failure. */
const STABLE_MS = 5_000;

/** @typedef {"connecting" | "live" | "waiting" | "ended"} State */

/** How long to wait before the next attempt. No I/O: time and chance are arguments. */
export class Backoff {
  #firstMs;
  #maxMs;
  #growth;
  #pauseMs;

  /** @param {{firstMs?: number, maxMs?: number, growth?: number}} [options] the first pause, the longest, and by which each is longer */
  constructor({ firstMs = 500, maxMs = 10_000, growth = 1.8 } = {}) {
    if (!(firstMs > 0 && firstMs <= maxMs && growth >= 1)) {
      throw new RangeError(`firstMs must be positive, maxMs no less and growth at least 1, not ${firstMs}, ${maxMs}, ${growth}`);
    }
    this.#firstMs = this.#pauseMs = firstMs;
    this.#maxMs = maxMs;
    this.#growth = growth;
  }

  /**
   * Milliseconds to wait after a connection.
   * @param {number} stoodMs how long it stood; 0 if none was made
   * @param {number} chance from 0 to 1: spreads clients out, so that a server that comes back isn't met by all at once
   */
  pause(stoodMs, chance) {
    if (stoodMs > STABLE_MS) this.#pauseMs = this.#firstMs;
    const pause = this.#pauseMs;
    this.#pauseMs = Math.min(this.#maxMs, pause * this.#growth);
    return pause * (0.75 + 0.5 * chance);
  }
}

/**
 * Follows a server through reconnections. Every connection has a replica of its own, which begins with a reset frame; callbacks tell only
 * who has really come and gone meanwhile.
 */
export class Link {
  /** The connection that stands, or the last one. @type {import("./client.js").Client} */
  client;
  /** "ended" where another attempt won't change anything: then `error` says why. @type {State} */
  state = "connecting";
  /** Why the last connection ended. @type {ConnectionClosed | null} */
  error = null;
  /** When the next attempt begins, in `performance.now()` milliseconds. */
  retryAt = 0;

  #url;
  #options;
  #backoff;
  #liveSince = 0;
  /** Of the last connection. @type {string | undefined} */
  #session;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string} url
   * @param {import("./client.js").Options & {backoff?: Backoff}} [options] for every Client
   */
  constructor(url, options = {}) {
    this.#url = url;
    this.callbacks = callbacksOf(options);
    // Told by the callbacks, which outlive a connection.
    const told = { onEnter: undefined, onUpdate: undefined, onEvent: undefined, onLeave: undefined, onServerEvent: undefined };
    this.#options = { ...options, callbacks: this.callbacks, ...told };
    this.#backoff = options.backoff ?? new Backoff();
    this.client = this.#connect();
  }

  /** Why the last connection ended, in words. */
  get reason() {
    const words = this.error?.explanation ?? "";
    return words.slice(0, 1).toUpperCase() + words.slice(1);
  }

  /** Try again now, if waiting. */
  hurry() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.client = this.#connect();
  }

  /** End it. */
  close() {
    clearTimeout(this.#timer);
    const { state } = this;
    this.state = "ended";
    if (state !== "waiting") this.client.close();
  }

  #connect() {
    this.state = "connecting";
    return connect(this.#url, {
      ...this.#options,
      session: this.#session ?? this.#options.session,
      onWelcome: (welcome) => {
        this.state = "live";
        this.#session = welcome.session;
        this.#liveSince = performance.now();
        this.#options.onWelcome?.(welcome);
      },
      onClose: (closed) => {
        this.#end(closed);
        this.#options.onClose?.(closed);
      },
    });
  }

  /** @param {import("./client.js").Closed} closed */
  #end({ code, reason }) {
    const now = performance.now();
    const stood = this.state === "live" ? now - this.#liveSince : 0;
    this.error = new ConnectionClosed(code, reason);
    if (this.state === "ended" || !this.error.mayRetry) {
      this.state = "ended";
      return;
    }
    const pause = this.#backoff.pause(stood, Math.random());
    this.state = "waiting";
    this.retryAt = now + pause;
    this.#timer = setTimeout(() => this.hurry(), pause);
  }
}

/**
 * Follow a server through reconnections.
 * @param {string} url `ws://` or `wss://`, path `/ws`
 * @param {import("./client.js").Options & {backoff?: Backoff}} [options]
 */
export function follow(url, options) {
  return new Link(url, options);
}
