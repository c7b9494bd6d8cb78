/**
 * What travels together, drawn between the samples that frames brought: up to four numbers of a component, for whole tables.
 *
 * A track has a row for each entity, and in each row a ring of its last samples. Rows are drawn a delay behind: one period of the channel
 * that carries them, so that as a rule the next sample is there when it is needed. Past the newest they go on as the wire's own linear
 * predictor does, for a while.
 */

import { enlarged } from "./arrays.js";

export const STEP = 0;
export const LINEAR = 1;
export const HERMITE = 2;
export const ANGLE = 3;
export const ROTATION = 4;

/** A delay grows and shrinks by half a tick a tick: things go on at half or one and a half times their speed meanwhile. */
const DELAY_SLEW = 0.5;
const TURN = 2 * Math.PI;

/** Columns of a row's delay: where it goes to, where it was, at which tick. */
const TARGET = 0;
const FROM = 1;
const SINCE = 2;

/** Scratch: a sample in other words, and what was drawn. */
const aligned = new Float64Array(4);
const rawBefore = new Float64Array(4);
const drawnBefore = new Float64Array(4);

export class Track {
  /** A sample, and what was a period before it: NaN where the wire predicts no line. */
  given = new Float64Array(4);
  before = new Float64Array(4);

  /** Samples' ticks and values, and 1 where one isn't connected with the one before. */
  #time = new Float64Array(0);
  #value = new Float64Array(0);
  #cut = new Uint8Array(0);
  /** The newest sample's place in the ring, and how many there are. */
  #head = new Int32Array(0);
  #count = new Int32Array(0);
  /** A tick, past the newest sample; 0 where nothing predicts. */
  #velocity = new Float64Array(0);
  /** What was drawn too far at a tick; fades over `blend` ticks. */
  #offset = new Float64Array(0);
  #offsetAt = new Float64Array(0);
  #delay = new Float64Array(0);

  /**
   * @param {number[]} modes how each number is drawn
   * @param {{blend: number, beyond: number, speed: number}} settings ticks of blending, most ticks beyond a sample, top speed a tick
   * @param {number} history samples in a ring
   */
  constructor(modes, settings, history) {
    this.modes = modes;
    this.settings = settings;
    this.history = history;
    this.nFields = modes.length;
  }

  /** @param {number} capacity rows */
  grow(capacity) {
    const { history, nFields } = this;
    this.#time = enlarged(this.#time, capacity * history);
    this.#value = enlarged(this.#value, capacity * history * nFields);
    this.#cut = enlarged(this.#cut, capacity * history);
    this.#head = enlarged(this.#head, capacity);
    this.#count = enlarged(this.#count, capacity);
    this.#velocity = enlarged(this.#velocity, capacity * nFields);
    this.#offset = enlarged(this.#offset, capacity * nFields);
    this.#offsetAt = enlarged(this.#offsetAt, capacity);
    this.#delay = enlarged(this.#delay, 3 * capacity);
  }

  /**
   * Begin a row anew: what it held was another's.
   * @param {number} r
   * @param {number} period of the channel that carries it, 0 where none does
   * @param {number} tick
   */
  begin(r, period, tick) {
    this.#count[r] = 0;
    this.#offsetAt[r] = -Infinity;
    this.#offset.fill(0, r * this.nFields, (r + 1) * this.nFields);
    this.#delay[3 * r + TARGET] = this.#delay[3 * r + FROM] = period;
    this.#delay[3 * r + SINCE] = tick;
  }

  /**
   * Let a row go over to the delay of the channel that carries it now; where none does it keeps what it has.
   * @param {number} r
   * @param {number} period
   * @param {number} tick
   */
  retime(r, period, tick) {
    if (period === 0 || period === this.#delay[3 * r + TARGET]) return;
    this.#delay[3 * r + FROM] = this.#delayAt(r, tick);
    this.#delay[3 * r + TARGET] = period;
    this.#delay[3 * r + SINCE] = tick;
  }

  /**
   * Add `given` to a row as a sample, with `before`; what is drawn of it at `tick` stays where it is.
   * @param {number} r
   * @param {number} sampled its tick
   * @param {number} period
   * @param {number} tick what is drawn now
   */
  push(r, sampled, period, tick) {
    const { nFields, modes } = this;
    if (this.#count[r] === 0) {
      this.#append(r, sampled, period);
      return;
    }
    const moment = tick - this.#delayAt(r, tick);
    let back = this.#find(r, moment);
    const left = this.#left(r, tick);
    for (let f = 0; f < nFields; f++) {
      rawBefore[f] = this.#raw(r, f, back, moment);
      drawnBefore[f] = rawBefore[f] + this.#offset[r * nFields + f] * left;
    }
    this.#append(r, sampled, period);
    back = this.#find(r, moment);
    let moved = false;
    let distance = 0;
    for (let f = 0; f < nFields; f++) {
      const raw = this.#raw(r, f, back, moment);
      if (raw !== rawBefore[f]) moved = true;
      drawnBefore[f] = modes[f] === STEP ? 0 : drawnBefore[f] - raw;
      distance += drawnBefore[f] * drawnBefore[f];
    }
    if (!moved) return;
    const within = distance <= (this.settings.speed * this.settings.blend) ** 2;
    for (let f = 0; f < nFields; f++) this.#offset[r * nFields + f] = within ? drawnBefore[f] : 0;
    this.#offsetAt[r] = tick;
  }

  /**
   * Write what is drawn of a row.
   * @param {number} r
   * @param {number} tick
   * @param {Float64Array[]} out a column for each number
   * @param {number} i where in them
   */
  sample(r, tick, out, i) {
    const { nFields, modes } = this;
    if (this.#count[r] === 0) {
      for (let f = 0; f < nFields; f++) out[f][i] = NaN;
      return;
    }
    const moment = tick - this.#delayAt(r, tick);
    const back = this.#find(r, moment);
    const left = this.#left(r, tick);
    let square = 0;
    for (let f = 0; f < nFields; f++) {
      let drawn = this.#raw(r, f, back, moment);
      if (left > 0) drawn += this.#offset[r * nFields + f] * left;
      if (modes[f] === ANGLE) drawn -= TURN * Math.floor(drawn / TURN + 0.5);
      out[f][i] = drawn;
      square += drawn * drawn;
    }
    if (modes[0] !== ROTATION || square === 0) return;
    for (let f = 0; f < nFields; f++) out[f][i] /= Math.sqrt(square);
  }

  /**
   * @param {number} r
   * @param {number} tick
   */
  #delayAt(r, tick) {
    const target = this.#delay[3 * r + TARGET];
    const from = this.#delay[3 * r + FROM];
    const change = DELAY_SLEW * Math.max(0, tick - this.#delay[3 * r + SINCE]);
    return from > target ? Math.max(target, from - change) : Math.min(target, from + change);
  }

  /**
   * How many samples back the last one at or before a moment is; the count where there is none.
   * @param {number} r
   * @param {number} moment
   */
  #find(r, moment) {
    const { history } = this;
    const count = this.#count[r];
    let at = this.#head[r];
    for (let back = 0; back < count; back++) {
      if (this.#time[r * history + at] <= moment) return back;
      at = at === 0 ? history - 1 : at - 1;
    }
    return count;
  }

  /**
   * The part of a row's offset that has not faded.
   * @param {number} r
   * @param {number} tick
   */
  #left(r, tick) {
    return Math.min(Math.max(1 - (tick - this.#offsetAt[r]) / this.settings.blend, 0), 1);
  }

  /**
   * The place in the arrays of a row's sample.
   * @param {number} r
   * @param {number} back from the newest
   */
  #place(r, back) {
    const { history } = this;
    return r * history + ((this.#head[r] - back + history) % history);
  }

  /**
   * One number at a moment, without what is left of an offset.
   * @param {number} r
   * @param {number} f
   * @param {number} back of the sample at or before it
   * @param {number} moment
   */
  #raw(r, f, back, moment) {
    const { nFields } = this;
    const count = this.#count[r];
    if (back === count) return this.#value[this.#place(r, count - 1) * nFields + f];
    const a = this.#place(r, back);
    const va = this.#value[a * nFields + f];
    const mode = this.modes[f];
    if (mode === STEP) return va;
    if (back === 0) return va + this.#velocity[r * nFields + f] * Math.min(moment - this.#time[a], this.settings.beyond);
    const b = this.#place(r, back - 1);
    if (this.#cut[b] !== 0) return va;
    const vb = this.#value[b * nFields + f];
    const part = (moment - this.#time[a]) / (this.#time[b] - this.#time[a]);
    if (mode !== HERMITE) return va + (vb - va) * part;
    let slope = vb - va;
    if (back + 1 < count && this.#cut[a] === 0) {
      const c = this.#place(r, back + 1);
      slope = (va - this.#value[c * nFields + f]) * ((this.#time[b] - this.#time[a]) / (this.#time[a] - this.#time[c]));
    }
    return hermite(va, slope, vb, part);
  }

  /**
   * Add what a frame brought; and where that isn't a period behind the last sample, what was a period before it.
   * @param {number} r
   * @param {number} sampled
   * @param {number} period
   */
  #append(r, sampled, period) {
    const { nFields } = this;
    const newest = this.#place(r, 0);
    if (this.#count[r] > 0 && this.#time[newest] > sampled) this.#count[r] = 0;
    if (this.#count[r] === 0 || this.#time[newest] < sampled - period) {
      let known = this.#count[r] > 0;
      for (let f = 0; f < nFields; f++) {
        if (!Number.isNaN(this.before[f])) {
          aligned[f] = this.before[f];
          known = true;
        } else aligned[f] = this.#count[r] > 0 ? this.#value[newest * nFields + f] : this.given[f];
      }
      if (known) this.#put(r, sampled - period, aligned);
    }
    this.#put(r, sampled, this.given);
  }

  /**
   * Add a sample to a row's ring, or replace the newest where that is of the same tick.
   * @param {number} r
   * @param {number} t
   * @param {Float64Array} sample
   */
  #put(r, t, sample) {
    const { history, nFields } = this;
    const last = this.#place(r, 0);
    if (this.#count[r] > 0) this.#align(sample, last);
    if (this.#count[r] === 0 || this.#time[last] !== t) {
      this.#head[r] = (this.#head[r] + 1) % history;
      this.#count[r] = Math.min(this.#count[r] + 1, history);
    }
    const at = this.#place(r, 0);
    this.#time[at] = t;
    for (let f = 0; f < nFields; f++) this.#value[at * nFields + f] = sample[f];
    if (this.#count[r] > 1) {
      this.#connect(r, this.#place(r, 1), at);
      return;
    }
    this.#cut[at] = 0;
    this.#velocity.fill(0, r * nFields, (r + 1) * nFields);
  }

  /**
   * Say a sample so that it is near the last one: angles not a turn away, rotations on the same half.
   * @param {Float64Array} sample
   * @param {number} last
   */
  #align(sample, last) {
    const { nFields, modes } = this;
    let dot = 0;
    for (let f = 0; f < nFields; f++) {
      const was = this.#value[last * nFields + f];
      dot += sample[f] * was;
      if (modes[f] === ANGLE) sample[f] += TURN * Math.floor((was - sample[f]) / TURN + 0.5);
    }
    if (modes[0] === ROTATION && dot < 0) for (let f = 0; f < nFields; f++) sample[f] = -sample[f];
  }

  /**
   * Note whether sample b follows sample a without a teleport, and how it goes on from there.
   * @param {number} r
   * @param {number} a
   * @param {number} b
   */
  #connect(r, a, b) {
    const { nFields, modes } = this;
    const span = this.#time[b] - this.#time[a];
    let distance = 0;
    for (let f = 0; f < nFields; f++) {
      if (modes[f] === LINEAR || modes[f] === HERMITE) distance += (this.#value[b * nFields + f] - this.#value[a * nFields + f]) ** 2;
    }
    this.#cut[b] = distance > (this.settings.speed * span) ** 2 ? 1 : 0;
    for (let f = 0; f < nFields; f++) {
      const goesOn = this.#cut[b] === 0 && modes[f] !== STEP && !Number.isNaN(this.before[f]);
      this.#velocity[r * nFields + f] = goesOn ? (this.#value[b * nFields + f] - this.#value[a * nFields + f]) / span : 0;
    }
  }
}

/**
 * Between two samples, each with the slope that led to it: so that no later sample changes a curve.
 * @param {number} va
 * @param {number} slope at a
 * @param {number} vb
 * @param {number} part of the way
 */
function hermite(va, slope, vb, part) {
  const square = part * part;
  const cube = square * part;
  return (2 * cube - 3 * square + 1) * va + (cube - 2 * square + part) * slope + (3 * square - 2 * cube) * vb + (cube - square) * (vb - va);
}
