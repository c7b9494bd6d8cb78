/**
 * Where to draw what is known: between updates every entity glides from where it was drawn to where it was last seen to be.
 *
 * Time is the server's, in ticks. An entity that is due every p ticks is drawn p ticks late, so that as a rule the next sample is
 * there when it is needed. Where it isn't, the prediction came true and was not sent, or it is late: in both cases the
 * entity goes on as the wire's own linear predictor has it.
 */

import { MAX_GROUPS, NO_CHANNEL } from "./schema.js";

/** @typedef {import("./replica.js").Replica} Replica */

// Columns of an entry's state: a line from (t0, x0, y0) to (t1, x1, y1), what comes after it per tick, and when it appeared.
const X0 = 0, Y0 = 1, T0 = 2, X1 = 3, Y1 = 4, T1 = 5, VX = 6, VY = 7, SINCE = 8;
const STRIDE = 9;

/** Frames are drawn so much later than they must, against jitter. */
const MARGIN_S = 0.02;

/** An entity that isn't heard of for longer stands still; the wire allows no longer silence. */
const MAX_SILENCE_TICKS = 255;

/** Seconds in which a new entity becomes opaque. */
const FADE_IN_S = 0.35;

/** The server's clock, in ticks with fractions, as told by the frames that were least delayed. */
export class TickClock {
  /** Milliseconds of our clock at tick 0; NaN before the first frame. */
  #zero = NaN;

  /** @param {number} tickRate ticks a second */
  constructor(tickRate) {
    this.tickRate = tickRate;
  }

  /**
   * @param {number} tick of a frame
   * @param {number} now milliseconds, when it came
   */
  frame(tick, now) {
    const zero = now - (tick * 1000) / this.tickRate;
    const late = zero - this.#zero;
    // Early frames count at once, late ones hardly; a second's difference is another clock.
    if (!(late > -1000 && late < 1000)) this.#zero = zero;
    else this.#zero += late < 0 ? late : late * 0.005;
  }

  /**
   * The tick that the server is at.
   * @param {number} now milliseconds
   */
  at(now) {
    return ((now - this.#zero) * this.tickRate) / 1000;
  }
}

export class Motion {
  #state = new Float64Array(0);
  /** By kind: the first two fields of the component that interest is measured on. */
  #places;
  /** The last frame's tick. */
  #tick = 0;

  /**
   * @param {Replica} replica
   * @param {number} tickRate ticks a second
   */
  constructor(replica, tickRate) {
    this.replica = replica;
    this.clock = new TickClock(tickRate);
    this.n = 0;
    /** By entry: the channel that carries its position. */
    this.channel = new Uint8Array(0);
    this.#places = replica.schema.kinds.map((kind) => placeOf(replica, kind));
  }

  /**
   * Take over what a frame brought.
   * @param {number} now milliseconds
   */
  update(now) {
    const { replica, clock } = this;
    clock.frame(replica.tick, now);
    this.#permute();
    this.#tick = replica.tick;
    this.n = replica.n;
    const drawn = clock.at(now);
    for (let i = 0; i < replica.n; i++) this.#retarget(i, drawn);
  }

  /**
   * Where an entry is drawn at a moment.
   * @param {number} i index in the list
   * @param {number} tick with fractions
   * @param {{x: number, y: number}} out
   */
  at(i, tick, out) {
    const s = this.#state;
    const a = i * STRIDE;
    const left = s[a + T1] - tick;
    if (left > 0) {
      const part = left / (s[a + T1] - s[a + T0]);
      out.x = s[a + X1] + (s[a + X0] - s[a + X1]) * part;
      out.y = s[a + Y1] + (s[a + Y0] - s[a + Y1]) * part;
    } else {
      const beyond = Math.min(-left, MAX_SILENCE_TICKS);
      out.x = s[a + X1] + s[a + VX] * beyond;
      out.y = s[a + Y1] + s[a + VY] * beyond;
    }
    return out;
  }

  /**
   * Write `x - originX, y - originY, channel, opacity` of every entry.
   * @param {number} now milliseconds
   * @param {number} originX
   * @param {number} originY
   * @param {Float32Array} out at least 4 × n long
   */
  sample(now, originX, originY, out) {
    const tick = this.#moment(now);
    const fade = 1 / (FADE_IN_S * this.clock.tickRate);
    const point = { x: 0, y: 0 };
    for (let i = 0; i < this.n; i++) {
      this.at(i, tick, point);
      out[4 * i] = point.x - originX;
      out[4 * i + 1] = point.y - originY;
      out[4 * i + 2] = this.channel[i];
      out[4 * i + 3] = Math.min(1, (tick - this.#state[i * STRIDE + SINCE]) * fade);
    }
  }

  /**
   * The tick to draw; it doesn't run away when the connection is gone.
   * @param {number} now milliseconds
   */
  #moment(now) {
    return Math.min(this.clock.at(now), this.#tick + MAX_SILENCE_TICKS);
  }

  /**
   * Where an entry is drawn now.
   * @param {number} i index in the list
   * @param {number} now milliseconds
   */
  position(i, now) {
    return this.at(i, this.#moment(now), { x: 0, y: 0 });
  }

  /** Follow the list: entries take their state along. */
  #permute() {
    const { replica } = this;
    if (replica.capacity * STRIDE > this.#state.length) {
      const larger = new Float64Array(replica.capacity * STRIDE);
      larger.set(this.#state);
      this.#state = larger;
      this.channel = new Uint8Array(replica.capacity);
    }
    if (!replica.reset && replica.nLeft === 0) return;
    // Only a reset frame reorders; otherwise entries move down, which needs no copy.
    const from = replica.reset ? this.#state.slice() : this.#state;
    for (let i = 0; i < replica.n; i++) {
      const j = replica.previous[i];
      if (j < 0 || (j === i && !replica.reset)) continue;
      for (let a = 0; a < STRIDE; a++) this.#state[i * STRIDE + a] = from[j * STRIDE + a];
    }
  }

  /**
   * Begin a new line where the last frame brought a new sample.
   * @param {number} i index in the list
   * @param {number} drawn the tick that is being drawn
   */
  #retarget(i, drawn) {
    const { replica } = this;
    const { layout } = replica;
    const s = this.#state;
    const a = i * STRIDE;
    const k = replica.kind[i];
    const place = this.#places[k];
    // What no channel carried for a while has no place to glide from.
    const entered = replica.previous[i] < 0 || Number.isNaN(s[a + X1]);
    const c = place === null ? NO_CHANNEL : replica.carrier(i, place.group);
    const unit = place === null ? NO_CHANNEL : replica.unit[i * MAX_GROUPS + place.group];
    this.channel[i] = c;
    if (place === null || unit === NO_CHANNEL) {
      s.fill(NaN, a, a + STRIDE);
      return;
    }
    const came = replica.cameAs(i, place.group) * layout.nChannels + (unit & 7);
    const parameter = layout.parameter[came * MAX_GROUPS + place.group];
    const q = i * layout.stride;
    const x = replica.valueAt(i, place.x);
    const y = replica.valueAt(i, place.y);
    // A stale group waits for a record: until then it goes on as before.
    const fresh = came === k * layout.nChannels + c && replica.isDue(i, place.group);
    if (!entered && !fresh && x === s[a + X1] && y === s[a + Y1]) return;

    const period = layout.period[came];
    const linear = layout.order[parameter + place.x.index] === 2 ? 1 / period : 0;
    const here = entered ? { x, y } : this.at(i, drawn, scratch);
    s[a + X0] = here.x;
    s[a + Y0] = here.y;
    s[a + T0] = drawn;
    s[a + X1] = x;
    s[a + Y1] = y;
    const sampled = replica.tick - ((replica.tick + replica.phase) % period);
    s[a + T1] = Math.max(sampled + period + MARGIN_S * this.clock.tickRate, drawn + 1);
    s[a + VX] = replica.d[q + place.x.offset] * layout.scale[parameter + place.x.index] * linear;
    s[a + VY] = replica.d[q + place.y.offset] * layout.scale[parameter + place.y.index] * linear;
    if (entered) s[a + SINCE] = drawn;
  }
}

const scratch = { x: 0, y: 0 };

/**
 * Where the position of a kind stands; null where it has none that travels.
 * @param {Replica} replica
 * @param {import("./schema.js").Kind} kind
 */
function placeOf(replica, kind) {
  const group = kind.groups.findIndex((g) => g.component === kind.position);
  if (group < 0 || kind.groups[group].fields.length < 2) return null;
  const { fields } = kind.groups[group];
  const k = replica.schema.kinds.indexOf(kind);
  const named = (/** @type {string} */ name, /** @type {number} */ otherwise) =>
    replica.layout.find(k, kind.position, (fields.find((f) => f.name === name) ?? fields[otherwise]).name);
  const x = named("x", 0);
  const y = named("y", 1);
  return x === null || y === null ? null : { group, x, y };
}
