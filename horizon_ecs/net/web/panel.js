/**
 * The numbers: rates over the last seconds, what the server says of itself, and a line of the bytes.
 */

import { slowdownOf } from "./overlay.js";
import { cssColour } from "./points.js";
import { Shares } from "./shares.js";

/** A rate is taken over so long, and told so often. */
const WINDOW_MS = 2_000;
const INTERVAL_MS = 250;

/** The line shows the last 60 s. */
const HISTORY = 240;

/** @typedef {import("./replica.js").Replica} Replica */

/** Rates of counters that only grow. */
export class Rates {
  /** @type {{time: number, bytes: number, updates: number, frames: number}[]} */
  #samples = [];
  updates_per_s = 0;
  bytes_per_s = 0;
  frames_per_s = 0;
  bytes_per_update = NaN;

  /**
   * @param {number} time milliseconds
   * @param {{bytes: number, updates: number, frames: number}} counters
   */
  add(time, { bytes, updates, frames }) {
    const samples = this.#samples;
    if (samples.length > 0 && bytes < samples[samples.length - 1].bytes) samples.length = 0;
    samples.push({ time, bytes, updates, frames });
    while (samples.length > 2 && time - samples[0].time > WINDOW_MS) samples.shift();
    const first = samples[0];
    const seconds = (time - first.time) / 1000;
    if (seconds <= 0) return;
    this.bytes_per_s = (bytes - first.bytes) / seconds;
    this.updates_per_s = (updates - first.updates) / seconds;
    this.frames_per_s = (frames - first.frames) / seconds;
    this.bytes_per_update = updates > first.updates ? (bytes - first.bytes) / (updates - first.updates) : NaN;
  }
}

/** How often the values of each channel really come: how many were told of those that it carries, a second. */
export class Received {
  /** @type {{time: number, told: number[], carried: number[]}[]} */
  #samples = [];
  /** By channel; NaN where it carries nothing. @type {number[]} */
  hz = [];

  /**
   * @param {number} time milliseconds
   * @param {Replica} replica
   */
  add(time, replica) {
    const samples = this.#samples;
    const told = replica.spent.toldByChannel;
    const last = samples.at(-1)?.told;
    if (last !== undefined && told.some((count, c) => !(count >= last[c]))) samples.length = 0;
    samples.push({ time, told, carried: carriedBy(replica) });
    while (samples.length > 2 && time - samples[0].time > WINDOW_MS) samples.shift();
    const first = samples[0];
    const seconds = (time - first.time) / 1000;
    if (seconds <= 0) return;
    this.hz = told.map((count, c) => {
      const carried = samples.reduce((sum, sample) => sum + sample.carried[c], 0) / samples.length;
      return carried > 0 ? (count - first.told[c]) / carried / seconds : NaN;
    });
  }
}

/**
 * How many groups of entities each channel carries.
 * @param {Replica} replica
 */
function carriedBy(replica) {
  const { nChannels, nGroups } = replica.layout;
  const carried = new Array(nChannels).fill(0);
  for (let i = 0; i < replica.n; i++) {
    for (let j = 0; j < nGroups[replica.kind[i]]; j++) {
      const c = replica.carrier(i, j);
      if (c < nChannels) carried[c]++;
    }
  }
  return carried;
}

export class Panel {
  rates = new Rates();
  received = new Received();
  shares;
  #history = new Float64Array(HISTORY);
  #nHistory = 0;
  #told = -Infinity;
  /** @type {Map<string, HTMLElement>} */
  #numbers = new Map();
  #spark;
  /** A row of the legend. @type {{ring: import("./overlay.js").Ring, rate: Text, received: HTMLElement, count: HTMLElement}[]} */
  #rows = [];

  /** @param {Document} document */
  constructor(document) {
    for (const element of document.querySelectorAll("[data-number]")) {
      this.#numbers.set(/** @type {HTMLElement} */ (element).dataset.number ?? "", /** @type {HTMLElement} */ (element));
    }
    const [bar, list] = ["shares", "spent"].map((id) => /** @type {HTMLElement} */ (document.getElementById(id)));
    this.shares = new Shares(bar, list);
    this.#spark = /** @type {HTMLCanvasElement} */ (document.getElementById("spark"));
  }

  /**
   * One row a channel: how often it is due now, to where, how often its values really come, and how many positions it carries.
   * @param {HTMLElement} body of a table
   * @param {import("./overlay.js").Ring[]} rings
   */
  legend(body, rings) {
    const document = body.ownerDocument;
    const channels = [...new Set(rings.map((r) => r.channel))].sort();
    this.#rows = [];
    body.replaceChildren(...channels.map((channel) => {
      const own = rings.filter((r) => r.channel === channel);
      const row = document.createElement("tr");
      const [first, radius, received, count] = Array.from({ length: 4 }, () => row.appendChild(document.createElement("td")));
      first.appendChild(document.createElement("i")).style.background = cssColour(channel);
      const rate = first.appendChild(document.createTextNode("–"));
      radius.textContent = own.map((r) => (Number.isFinite(r.radius) ? groups.format(r.radius) : "any")).join(", ");
      this.#rows.push({ ring: own[0], rate, received, count });
      return row;
    }));
  }

  /**
   * Bring the numbers up to date, four times a second.
   * @param {number} now milliseconds
   * @param {Replica | null} replica
   * @param {Record<string, any>} stats the server's
   * @param {{ping_ms: number, fps: number, channels: Uint8Array, n: number}} more
   * @returns {boolean} whether anything was told
   */
  update(now, replica, stats, more) {
    if (now - this.#told < INTERVAL_MS) return false;
    this.#told = now;
    if (replica !== null) {
      this.rates.add(now, replica.counters);
      this.received.add(now, replica);
      this.shares.update(now, replica);
    }
    this.#remember(this.rates.bytes_per_s);
    const { rates } = this;
    this.#say("tick_ms", fixed(stats.tick_ms, 2));
    this.#say("tick_ms_p99", fixed(stats.tick_ms_p99, 2));
    this.#say("in_view", whole(replica?.n));
    this.#say("entities", whole(stats.entities));
    this.#say("observers", whole(stats.observers));
    this.#say("slowed", whole(stats.slowed));
    this.#say("updates", whole(rates.updates_per_s));
    this.#say("bytes", bytes(rates.bytes_per_s));
    this.#say("bytes_per_update", fixed(rates.bytes_per_update, 2));
    this.#say("ping", fixed(more.ping_ms, more.ping_ms < 10 ? 1 : 0));
    this.#say("tick", replica !== null && replica.tick >= 0 ? whole(replica.tick) : "–");
    this.#say("fps", whole(more.fps));
    this.#tellChannels(replica, more.channels, more.n);
    this.#draw();
    return true;
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #say(name, text) {
    const element = this.#numbers.get(name);
    if (element !== undefined && element.textContent !== text) element.textContent = text;
  }

  /**
   * @param {Replica | null} replica
   * @param {Uint8Array} channels by entity
   * @param {number} n
   */
  #tellChannels(replica, channels, n) {
    const counts = new Uint32Array(256);
    for (let i = 0; i < n; i++) counts[channels[i]]++;
    for (const { ring, rate, received, count } of this.#rows) {
      const hz = this.received.hz[ring.channel];
      rate.data = `${round(ring.frequency / slowdownOf(replica, ring))} Hz`;
      received.textContent = fixed(hz, hz < 10 ? 1 : 0);
      count.textContent = whole(counts[ring.channel]);
    }
  }

  /** @param {number} value */
  #remember(value) {
    if (this.#nHistory === HISTORY) this.#history.copyWithin(0, 1);
    else this.#nHistory++;
    this.#history[this.#nHistory - 1] = value;
  }

  #draw() {
    const canvas = this.#spark;
    const ratio = Math.min(2, devicePixelRatio);
    const width = canvas.clientWidth * ratio;
    const height = canvas.clientHeight * ratio;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.clearRect(0, 0, width, height);
    const values = this.#history.subarray(0, this.#nHistory);
    const top = Math.max(1, ...values) * 1.15;
    const x = (/** @type {number} */ i) => width - ((values.length - 1 - i) * width) / (HISTORY - 1);
    const y = (/** @type {number} */ i) => height - ratio - (values[i] / top) * (height - 2 * ratio);
    context.beginPath();
    for (let i = 0; i < values.length; i++) context.lineTo(x(i), y(i));
    context.strokeStyle = cssColour(1);
    context.lineWidth = 1.5 * ratio;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(x(0), height);
    const fill = context.createLinearGradient(0, 0, 0, height);
    fill.addColorStop(0, cssColour(1, 0.28));
    fill.addColorStop(1, cssColour(1, 0));
    context.fillStyle = fill;
    context.fill();
  }
}

const groups = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number | undefined} value */
function whole(value) {
  return value === undefined || !Number.isFinite(value) ? "–" : groups.format(value);
}

/**
 * @param {number | undefined} value
 * @param {number} digits
 */
function fixed(value, digits) {
  return value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

/** @param {number} value bytes a second */
function bytes(value) {
  if (value < 1_000) return `${whole(value)} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(2)} MB`;
}

/** @param {number} value */
function round(value) {
  return Number(value.toPrecision(3));
}
