/**
 * Where the page draws what is known: an interpolator's positions, by which channel they come, and how new each entity is.
 */

import { ServerClock } from "./clock.js";
import { Interpolator } from "./interpolation.js";
import { NO_CHANNEL } from "./schema.js";

/** @typedef {import("./replica.js").Replica} Replica */

/** Seconds in which a new entity becomes opaque. */
const FADE_IN_S = 0.35;

export class Motion {
  n = 0;
  /** By entry: the channel that carries its position. */
  channel = new Uint8Array(0);

  #drawn;
  /** By kind: the group of its position, and the names of the two columns to draw. */
  #places;
  /** By entry: the tick at which it appeared. */
  #since = new Float64Array(0);

  /**
   * @param {Replica} replica
   * @param {number} tickRate ticks a second
   */
  constructor(replica, tickRate) {
    this.replica = replica;
    this.clock = new ServerClock(tickRate);
    const { kinds } = replica.schema;
    this.#places = kinds.map(placeOf);
    const components = [...new Set(kinds.flatMap((kind, k) => (this.#places[k] === null ? [] : [kind.position])))];
    this.#drawn = new Interpolator(replica, { tickRate, components });
  }

  /**
   * Take over what a frame brought.
   * @param {number} now milliseconds
   */
  update(now) {
    const { replica, clock } = this;
    clock.frame(replica.tick, now);
    const tick = clock.playout(now);
    this.#drawn.update(tick);
    const { n, previous, kind } = replica;
    const since = new Float64Array(n);
    this.channel = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      const place = this.#places[kind[i]];
      since[i] = previous[i] < 0 ? tick : this.#since[previous[i]];
      this.channel[i] = place === null ? NO_CHANNEL : replica.carrier(i, place.group);
    }
    this.#since = since;
    this.n = n;
  }

  /**
   * Write `x - originX, y - originY, channel, opacity` of every entry.
   * @param {number} now milliseconds
   * @param {number} originX
   * @param {number} originY
   * @param {Float32Array} out at least 4 × n long
   */
  sample(now, originX, originY, out) {
    const tick = this.clock.playout(now);
    const columns = this.#drawn.sample(tick);
    const fade = 1 / (FADE_IN_S * this.clock.tickRate);
    const places = this.#places.map((place) => place && { x: columns[place.x], y: columns[place.y] });
    for (let i = 0; i < this.n; i++) {
      const place = places[this.replica.kind[i]];
      out[4 * i] = place === null ? NaN : place.x[i] - originX;
      out[4 * i + 1] = place === null ? NaN : place.y[i] - originY;
      out[4 * i + 2] = this.channel[i];
      out[4 * i + 3] = Math.min(1, (tick - this.#since[i]) * fade);
    }
  }

  /**
   * Where an entry is drawn at a moment.
   * @param {number} i index in the list
   * @param {number} now milliseconds
   */
  position(i, now) {
    const place = this.#places[this.replica.kind[i]];
    if (place === null) return { x: NaN, y: NaN };
    const row = this.#drawn.sampleRow(i, this.clock.playout(now));
    return { x: row[place.x], y: row[place.y] };
  }
}

/**
 * Where the position of a kind stands; null where it has none that travels.
 * @param {import("./schema.js").Kind} kind
 */
function placeOf({ position, groups }) {
  const group = groups.findIndex((g) => g.component === position);
  if (group < 0 || groups[group].fields.length < 2) return null;
  const names = groups[group].fields.map((field) => field.name);
  const named = (/** @type {string} */ name, /** @type {number} */ otherwise) => `${position}.${names.includes(name) ? name : names[otherwise]}`;
  return { group, x: named("x", 0), y: named("y", 1) };
}
