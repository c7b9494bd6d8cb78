/**
 * The timeline of a recording that is played: where it is, pause, speed, and a slider to go elsewhere. Hidden for what is live.
 */

import { ServerClock } from "./clock.js";

/** Seeking costs the server up to some seconds of frames: at most so often while the slider is dragged. */
const SEEK_INTERVAL_MS = 150;

/** A clock has to run, if ever so slowly. */
const SLOWEST = 1e-4;

/** @typedef {import("./client.js").Welcome} Welcome */
/** @typedef {{first_tick: number, last_tick: number, tick_rate: number, speed: number, observers: string[]}} Told */

export class Timeline {
  /** What the welcome says of the recording; null for what is live. @type {Told | null} */
  told = null;
  playing = true;
  /** Of the recording, while it plays. */
  speed = 1;

  #send;
  #root;
  #slider;
  #button;
  #select;
  #time;
  #dragged = false;
  #sentAt = -Infinity;

  /**
   * @param {Document} document
   * @param {(event: string, values: Record<string, number>) => void} send
   */
  constructor(document, send) {
    this.#send = send;
    this.#root = /** @type {HTMLElement} */ (document.getElementById("timeline"));
    this.#slider = /** @type {HTMLInputElement} */ (document.getElementById("timeline-tick"));
    this.#button = /** @type {HTMLElement} */ (document.getElementById("timeline-play"));
    this.#select = /** @type {HTMLSelectElement} */ (document.getElementById("timeline-speed"));
    this.#time = /** @type {HTMLElement} */ (document.getElementById("timeline-time"));
    this.#slider.oninput = () => this.#seek(false);
    this.#slider.onchange = () => this.#seek(true);
    this.#button.onclick = () => this.toggle();
    this.#select.onchange = () => this.#choose(Number(this.#select.value));
  }

  /** Pause or go on. */
  toggle() {
    this.playing = !this.playing;
    this.#pace();
  }

  /**
   * Take over what a welcome says.
   * @param {Welcome} welcome
   * @param {string} search the page's own query, which the server was asked with
   */
  begin(welcome, search) {
    const told = welcome.about?.recording;
    this.told = told && told.last_tick >= told.first_tick && told.tick_rate > 0 ? told : null;
    this.#root.hidden = this.told === null;
    if (this.told === null) return;
    const asked = new URLSearchParams(search).get("speed");
    const speed = asked === null ? this.told.speed : Number(asked);
    this.playing = speed > 0;
    this.speed = speed > 0 ? speed : 1;
    this.#slider.min = String(this.told.first_tick);
    this.#slider.max = String(this.told.last_tick);
    this.#offer(this.speed);
    this.#showState();
  }

  /**
   * Show where it is.
   * @param {number} tick
   */
  show(tick) {
    if (this.told === null) return;
    const shown = this.#dragged ? Number(this.#slider.value) : tick;
    if (!this.#dragged) this.#slider.value = String(tick);
    const { first_tick, last_tick, tick_rate } = this.told;
    const text = `${clock((shown - first_tick) / tick_rate)} / ${clock((last_tick - first_tick) / tick_rate)}`;
    if (this.#time.textContent !== text) this.#time.textContent = text;
  }

  /**
   * The clock by which things are drawn, at the pace that is played now.
   * @param {number} tick
   * @param {number} now milliseconds
   */
  clock(tick, now) {
    const made = new ServerClock((this.told?.tick_rate ?? 1) * (this.playing ? this.speed : SLOWEST));
    made.frame(tick, now);
    return made;
  }

  /** Called when the pace has changed: who draws needs another clock. */
  onPace = () => {};

  #pace() {
    this.#send("speed", { value: this.playing ? this.speed : 0 });
    this.#showState();
    this.onPace();
  }

  /** @param {number} speed */
  #choose(speed) {
    this.speed = speed;
    this.playing = true;
    this.#pace();
  }

  /** @param {boolean} last whether the slider was let go */
  #seek(last) {
    this.#dragged = !last;
    const now = performance.now();
    if (!last && now - this.#sentAt < SEEK_INTERVAL_MS) return;
    this.#sentAt = now;
    this.#send("seek", { tick: Number(this.#slider.value) });
  }

  /** Offer the speeds around the one that the server gave; it refuses more than eight times as fast.
   * @param {number} base */
  #offer(base) {
    const speeds = [...new Set([0.25, 0.5, 1, 2, 4, 8, base])].filter((speed) => speed <= 8 * base).sort((a, b) => a - b);
    this.#select.replaceChildren(...speeds.map((speed) => new Option(`${speed}×`, String(speed), false, speed === base)));
  }

  #showState() {
    this.#button.textContent = this.playing ? "Pause" : "Play";
  }
}

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
