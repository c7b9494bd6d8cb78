/**
 * Prediction: one's own entity moves at once and is put right when the server has spoken. No I/O; time is an argument.
 */

/** In which an error is smoothed away. */
const BLEND_TICKS = 9;
const MAX_PENDING = 128;
const TURN = 2 * Math.PI;

/**
 * @template Input
 * @callback Step one step, as the server does it; it may change the copy that it gets and needn't return it then
 * @param {Float64Array} state
 * @param {Input} given
 * @returns {ArrayLike<number> | void}
 */

/**
 * @typedef {object} PredictorOptions
 * @property {number | ArrayLike<number>} [tolerance] the server's state is rounded to the layer's precision: what differs by no more isn't wrong
 * @property {number} [maxError] what differs by more, in any of its numbers, is shown at once instead of smoothly
 * @property {number} [blend] ticks in which an error is smoothed away
 * @property {number} [maxPending] inputs that may wait for an acknowledgement
 * @property {number[]} [angles] places in the state that are angles in radians, which differ the short way round
 */

/**
 * Predicts the state of one entity from inputs that the server hasn't acknowledged yet.
 *
 * An input is one step: the client steps its state by each input when it is made, the server steps the entity by each input that comes,
 * in order, and replicates the number of the last one together with the state (docs/wire.md, "Sequence numbers").
 *
 * @template [Input=any]
 */
export class Predictor {
  /** Inputs predicted, acknowledged and refused. */
  nPredicted = 0;
  nAcknowledged = 0;
  nRefused = 0;
  /** States of the server that were other than predicted, and those of them that were shown at once. */
  nMispredictions = 0;
  nSnaps = 0;
  /** Of the last misprediction, the largest difference of any number. */
  lastError = 0;

  #step;
  /** @type {number} */
  #size;
  /** @type {Float64Array} */
  #tolerance;
  #maxError;
  #blend;
  #maxPending;
  #isAngle;
  #newest = 0;
  #acknowledged = 0;
  /** @type {{sequence: number, given: Input, after: Float64Array}[]} */
  #pending = [];
  /** @type {Float64Array} */
  #base;
  /** @type {Float64Array} */
  #before;
  #since = -Infinity;
  /** @type {Float64Array} */
  #offset;
  #offsetSince = -Infinity;

  /**
   * @param {Step<Input>} step
   * @param {ArrayLike<number>} state where to begin
   * @param {PredictorOptions} [options]
   */
  constructor(step, state, { tolerance = 0, maxError = Infinity, blend = BLEND_TICKS, maxPending = MAX_PENDING, angles = [] } = {}) {
    this.#step = step;
    this.#size = state.length;
    this.#tolerance = typeof tolerance === "number" ? new Float64Array(this.#size).fill(tolerance) : Float64Array.from(tolerance);
    if (!(blend > 0 && maxPending >= 1 && maxError >= 0 && this.#tolerance.length === this.#size && this.#tolerance.every((/** @type {number} */ t) => t >= 0))) {
      throw new RangeError(`blend and maxPending must be positive, maxError and tolerance not negative, not ${blend}, ${maxPending}, ${maxError}, ${tolerance}`);
    }
    this.#maxError = maxError;
    this.#blend = blend;
    this.#maxPending = maxPending;
    this.#isAngle = new Uint8Array(this.#size);
    for (const angle of angles) {
      if (!(angle in this.#isAngle)) throw new RangeError(`angles: a state has places 0 to ${this.#size - 1}, not ${angle}`);
      this.#isAngle[angle] = 1;
    }
    this.#base = this.#before = this.#offset = new Float64Array(this.#size);
    this.restart(state);
  }

  /**
   * Begin at a state with nothing pending: after a connection was made anew, or a teleport.
   * @param {ArrayLike<number>} state
   */
  restart(state) {
    const base = this.#checked(state);
    if (base.some(Number.isNaN)) throw new RangeError("a state to begin at must be known in all its numbers");
    this.#base = this.#before = base;
    this.#since = -Infinity;
    this.#acknowledged = this.#newest;
    this.#pending = [];
    this.#offset = new Float64Array(this.#size);
    this.#offsetSince = -Infinity;
  }

  /** @param {ArrayLike<number>} state */
  #checked(state) {
    if (state.length !== this.#size) throw new RangeError(`a state must be ${this.#size} numbers, not ${state.length}`);
    return Float64Array.from(state);
  }

  get #last() {
    return this.#pending.length > 0 ? this.#pending[this.#pending.length - 1].after : this.#base;
  }

  /** As predicted, after all inputs. */
  get state() {
    return this.#last.slice();
  }

  /** Inputs that aren't acknowledged. */
  get nPending() {
    return this.#pending.length;
  }

  /**
   * Step by an input, which then is to be sent.
   *
   * @param {Input} given what `step` takes
   * @param {number} tick when, on the clock that `shown` is asked by
   * @returns {number} its sequence number, from 1 on; 0 if too many wait, and nothing is to be sent: the server isn't heard of
   */
  predict(given, tick) {
    if (this.#pending.length >= this.#maxPending) {
      this.nRefused++;
      return 0;
    }
    const before = this.#last;
    const after = this.#stepped(before, given);
    this.#before = before;
    this.#since = tick;
    const sequence = ++this.#newest;
    this.#pending.push({ sequence, given, after });
    this.nPredicted++;
    return sequence;
  }

  /**
   * @param {Float64Array} state
   * @param {Input} given
   */
  #stepped(state, given) {
    const copy = state.slice();
    return this.#checked(this.#step(copy, given) ?? copy);
  }

  /**
   * Take over what the server says, and step by what it doesn't know yet again.
   *
   * @param {ArrayLike<number>} state of the entity on the server; NaN where it isn't replicated
   * @param {number} acknowledged the number of the last input in it, 0 for none
   * @param {number} tick when, on the clock that `shown` is asked by
   * @returns {boolean} whether it was other than predicted
   * @throws {RangeError} the input was never made, or the state has another size
   */
  reconcile(state, acknowledged, tick) {
    const told = this.#checked(state);
    if (!Number.isInteger(acknowledged)) throw new RangeError(`acknowledged must be a whole number, not ${acknowledged}`);
    if (acknowledged > this.#newest) throw new RangeError(`input ${acknowledged} is acknowledged, but ${this.#newest} was the last`);
    if (acknowledged < this.#acknowledged) return false;
    this.nAcknowledged += acknowledged - this.#acknowledged;
    this.#acknowledged = acknowledged;
    const kept = this.#pending.findIndex(({ sequence }) => sequence > acknowledged);
    const gone = this.#pending.splice(0, kept < 0 ? this.#pending.length : kept);
    if (gone.length > 0) this.#base = gone[gone.length - 1].after;
    const error = this.#difference(told, this.#base).map((off) => (Number.isNaN(off) ? 0 : Math.abs(off)));
    if (error.every((off, e) => off <= this.#tolerance[e])) return false;
    this.nMispredictions++;
    this.lastError = Math.max(...error);
    this.#correct(told.map((value, v) => (Number.isNaN(value) ? this.#base[v] : value)), tick);
    return true;
  }

  /**
   * Replay from a state; what is shown now stays, and goes over to it.
   * @param {Float64Array} base
   * @param {number} tick
   */
  #correct(base, tick) {
    const shown = this.shown(tick);
    this.#before = this.#base = base;
    let last = base;
    for (const pending of this.#pending) {
      this.#before = last;
      last = pending.after = this.#stepped(last, pending.given);
    }
    this.#offset = new Float64Array(this.#size);
    const offset = this.#difference(shown, this.shown(tick));
    if (offset.some((off) => Math.abs(off) > this.#maxError)) this.nSnaps++;
    else {
      this.#offset = offset;
      this.#offsetSince = tick;
    }
  }

  /**
   * What to draw at a tick: between the last two states, and errors smoothed away.
   * @param {number} tick
   * @returns {Float64Array}
   */
  shown(tick) {
    const part = Math.min(Math.max(tick - this.#since, 0), 1);
    const left = Math.min(Math.max(1 - (tick - this.#offsetSince) / this.#blend, 0), 1);
    return this.#difference(this.#last, this.#before).map((off, d) => this.#before[d] + off * part + this.#offset[d] * left);
  }

  /**
   * a - b, the short way round for angles.
   * @param {Float64Array} a
   * @param {Float64Array} b
   */
  #difference(a, b) {
    return a.map((value, v) => {
      const off = value - b[v];
      return this.#isAngle[v] ? off - TURN * Math.floor(off / TURN + 0.5) : off;
    });
  }
}
