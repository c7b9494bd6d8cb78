/**
 * Interpolation: what a Replica knows, drawn smoothly. Whole columns; no I/O, time is an argument.
 */

import { MAX_FIELDS } from "./schema.js";
import { ANGLE, HERMITE, LINEAR, ROTATION, STEP, Track } from "./tracks.js";

const MODES = { step: STEP, linear: LINEAR, hermite: HERMITE, angle: ANGLE, rotation: ROTATION };
const BLEND_S = 0.15;
const MAX_BEYOND_S = 1;
const HISTORY = 8;
const FIRST_CAPACITY = 64;

/** @typedef {import("./replica.js").Replica} Replica */
/** @typedef {import("./schema.js").Field} Field */
/** @typedef {NonNullable<ReturnType<import("./schema.js").Layout["find"]>>} Place */
/** @typedef {"step" | "linear" | "hermite" | "angle" | "rotation"} Mode */

/**
 * @typedef {object} InterpolatorOptions
 * @property {number} tickRate ticks a second, from the welcome
 * @property {string[]} [components] what to draw; everything by default
 * @property {Record<string, Mode>} [modes] by "Component" or "Component.field" how it is drawn: "linear"; "hermite", smooth through corners;
 *   "angle", radians the short way round; "rotation", a component of four fields that is a unit quaternion; "step", the last value that was
 *   due. Floats are linear, everything else steps
 * @property {Record<string, number>} [maxSpeed] by component, in units a second: a step that would take more is a teleport, and isn't drawn
 *   as a way
 * @property {number} [maxBeyondMs] how long something goes on in a straight line when no frame comes; then it stands. The server is silent
 *   for no longer than the welcome's `max_silence_ticks` while all goes on straight
 * @property {number} [blendMs] in which time something glides to where it should be, after it went on too far or changed its channel
 * @property {number} [history] samples kept of each entity: enough for the longest lateness of frames in periods, and two
 */

/** @typedef {{component: string, fields: string[], usual: Mode[], where: Map<number, number>}} Names */

/**
 * Draws what a replica knows between its samples, a period of each one's channel behind.
 *
 * Call `update` after every frame that the replica applied, and `sample` whenever something is drawn.
 */
export class Interpolator {
  /** How many entities a sample has. */
  n = 0;

  #replica;
  /** @type {Names[]} */
  #names;
  /** @type {Track[]} */
  #tracks;
  /** By track and kind, where its numbers are. @type {Place[][][]} */
  #places;
  /** By track: a column for each of its numbers. @type {Float64Array[][]} */
  #columns;
  /** By entry, the row of the tracks that it keeps; and those that are free. */
  #rows = new Int32Array(0);
  #rowsBefore = new Int32Array(0);
  /** @type {number[]} */
  #free = [];
  #capacity = 0;
  #entered = new Uint8Array(0);
  /** @type {Record<string, Float64Array>} */
  #sampled = {};

  /**
   * @param {Replica} replica
   * @param {InterpolatorOptions} options
   * @throws {RangeError} for a name that no kind replicates, an unknown mode, or a number that can't be
   */
  constructor(replica, { tickRate, components, modes = {}, maxSpeed = {}, maxBeyondMs = 1000 * MAX_BEYOND_S, blendMs = 1000 * BLEND_S, history = HISTORY }) {
    if (!(tickRate > 0 && maxBeyondMs >= 0 && blendMs > 0 && history >= 2)) {
      throw new RangeError(
        `tickRate and blendMs must be positive, maxBeyondMs not negative and history at least 2, not ${tickRate}, ${blendMs}, ${maxBeyondMs}, ${history}`,
      );
    }
    this.#replica = replica;
    this.#names = namesOf(replica.schema);
    requireKnown(this.#names, components ?? [], modes, maxSpeed);
    if (components !== undefined) this.#names = this.#names.filter(({ component }) => components.includes(component));
    const blend = (blendMs * tickRate) / 1000;
    const beyond = (maxBeyondMs * tickRate) / 1000;
    this.#tracks = this.#names.map((names) => {
      const speed = (maxSpeed[names.component] ?? Infinity) / tickRate;
      return new Track(modesOf(names, modes), { blend, beyond, speed }, history);
    });
    this.#places = this.#names.map(({ component, fields, where }) =>
      replica.schema.kinds.map((_, k) => (where.has(k) ? fields.map((field) => /** @type {Place} */ (replica.layout.find(k, component, field))) : [])));
    this.#columns = this.#tracks.map((track) => track.modes.map(() => new Float64Array(0)));
    this.#makeColumns();
  }

  /**
   * Take over what the last frame brought.
   * @param {number} tick what is drawn now: `ServerClock.playout`
   */
  update(tick) {
    this.#follow();
    this.#tracks.forEach((track, t) => this.#updateTrack(track, this.#names[t], this.#places[t], tick));
  }

  /** Give every entity a row that it keeps. */
  #follow() {
    const { previous, n } = this.#replica;
    if (n > this.#entered.length) {
      this.#entered = new Uint8Array(2 * n);
      this.#rowsBefore = this.#rowsBefore.length < 2 * n ? new Int32Array(2 * n) : this.#rowsBefore;
    }
    // What left gives its row back first; rows of those that stayed are marked by -1.
    const before = this.#rows;
    const rows = this.#rowsBefore.length < n ? new Int32Array(2 * n) : this.#rowsBefore;
    for (let i = 0; i < n; i++) {
      const p = previous[i] < this.n ? previous[i] : -1;
      this.#entered[i] = p < 0 ? 1 : 0;
      if (p < 0) continue;
      rows[i] = before[p];
      before[p] = -1;
    }
    for (let i = 0; i < this.n; i++) if (before[i] >= 0) this.#free.push(before[i]);
    for (let i = 0; i < n; i++) if (this.#entered[i] === 1) rows[i] = this.#take();
    this.#rows = rows;
    this.#rowsBefore = before;
    this.n = n;
  }

  /** A free row. */
  #take() {
    if (this.#free.length === 0) {
      const capacity = Math.max(FIRST_CAPACITY, 2 * this.#capacity);
      for (const track of this.#tracks) track.grow(capacity);
      for (let r = capacity - 1; r >= this.#capacity; r--) this.#free.push(r);
      this.#capacity = capacity;
    }
    return /** @type {number} */ (this.#free.pop());
  }

  /**
   * @param {Track} track
   * @param {Names} names
   * @param {Place[][]} places by kind
   * @param {number} tick
   */
  #updateTrack(track, { where }, places, tick) {
    const replica = this.#replica;
    const group = replica.schema.kinds.map((_, k) => where.get(k) ?? -1);
    for (let i = 0; i < replica.n; i++) {
      const k = replica.kind[i];
      const period = group[k] < 0 ? 0 : replica.periodOf(i, group[k]);
      const r = this.#rows[i];
      if (this.#entered[i] === 1) track.begin(r, period, tick);
      else track.retime(r, period, tick);
      if (period === 0 || !replica.isDue(i, group[k])) continue;
      replica.readGroup(i, places[k], track.given, track.before);
      track.push(r, replica.tick - ((replica.tick + replica.phase) % period), period, tick);
    }
  }

  /**
   * What is to be drawn.
   *
   * @param {number} tick `ServerClock.playout`
   * @returns {Record<string, Float64Array>} by "Component.field" its values in the order of the replica's list as of the last `update`, `n` of
   *   them; NaN where a kind lacks it or nothing has come. The arrays are written again by the next call
   */
  sample(tick) {
    if (this.#columns.some((columns) => columns[0].length !== this.n)) this.#makeColumns();
    this.#tracks.forEach((track, t) => {
      for (let i = 0; i < this.n; i++) track.sample(this.#rows[i], tick, this.#columns[t], i);
    });
    return this.#sampled;
  }

  /**
   * What is to be drawn of one entity.
   *
   * @param {number} i index in the list
   * @param {number} tick
   * @returns {Record<string, number>} by "Component.field"
   */
  sampleRow(i, tick) {
    /** @type {Record<string, number>} */
    const row = {};
    this.#tracks.forEach((track, t) => {
      const { component, fields } = this.#names[t];
      const out = fields.map(() => new Float64Array(1));
      track.sample(this.#rows[i], tick, out, 0);
      fields.forEach((field, f) => (row[`${component}.${field}`] = out[f][0]));
    });
    return row;
  }

  /** Views of the right length; the memory behind them stays. */
  #makeColumns() {
    this.#names.forEach(({ component, fields }, t) => {
      this.#columns[t] = this.#columns[t].map((column, f) => {
        const buffer = column.buffer.byteLength < 8 * this.n ? new ArrayBuffer(16 * this.n) : column.buffer;
        return (this.#sampled[`${component}.${fields[f]}`] = new Float64Array(buffer, 0, this.n));
      });
    });
  }
}

/**
 * What travels together, by component and fields, and the number of the group in each kind.
 * @param {import("./schema.js").Schema} schema
 */
function namesOf(schema) {
  /** @type {Map<string, Names>} */
  const found = new Map();
  schema.kinds.forEach((kind, k) => {
    kind.groups.forEach(({ component, fields }, j) => {
      for (const together of chunksOf(fields)) {
        const names = together.map(({ name }) => name);
        const key = JSON.stringify([component, ...names]);
        const one = found.get(key) ?? { component, fields: names, usual: together.map(usual), where: new Map() };
        one.where.set(k, j);
        found.set(key, one);
      }
    });
  });
  return [...found.values()];
}

/**
 * The values of a group, at most four together: those that have a field of their own, and those that share one.
 * @param {Field[]} fields
 * @returns {{name: string, codec: string, type: string}[][]}
 */
function chunksOf(fields) {
  const own = fields.filter(({ codec }) => codec !== "packed");
  const packed = fields.flatMap(({ codec, parts }) => (parts ?? []).map(({ name, type }) => ({ name, codec, type })));
  /** @type {{name: string, codec: string, type: string}[][]} */
  const chunks = own.length > 0 ? [own] : [];
  for (let p = 0; p < packed.length; p += MAX_FIELDS) chunks.push(packed.slice(p, p + MAX_FIELDS));
  return chunks;
}

/**
 * @param {Names[]} names
 * @param {string[]} drawn
 * @param {Record<string, Mode>} modes
 * @param {Record<string, number>} maxSpeed
 */
function requireKnown(names, drawn, modes, maxSpeed) {
  const components = new Set(names.map(({ component }) => component));
  const known = new Set([...components, ...names.flatMap(({ component, fields }) => fields.map((field) => `${component}.${field}`))]);
  for (const [name, mode] of Object.entries(modes)) {
    if (!known.has(name)) throw new RangeError(`modes: no kind replicates ${name} (there are ${[...known].sort().join(", ")})`);
    if (!Object.hasOwn(MODES, mode)) throw new RangeError(`modes: ${name} is ${mode}, must be one of ${Object.keys(MODES).join(", ")}`);
  }
  for (const component of drawn) {
    if (!components.has(component)) throw new RangeError(`components: no kind replicates ${component} (there are ${[...components].sort().join(", ")})`);
  }
  for (const [component, speed] of Object.entries(maxSpeed)) {
    if (!components.has(component)) throw new RangeError(`maxSpeed: no kind replicates ${component} (there are ${[...components].sort().join(", ")})`);
    if (!(speed > 0)) throw new RangeError(`maxSpeed: that of ${component} must be positive, not ${speed}`);
  }
}

/**
 * How each number of a group is drawn.
 * @param {Names} names
 * @param {Record<string, Mode>} asked
 */
function modesOf({ component, fields, usual }, asked) {
  const words = fields.map((field, f) => asked[`${component}.${field}`] ?? asked[component] ?? usual[f]);
  if (words.includes("rotation") && !(words.length === MAX_FIELDS && words.every((word) => word === "rotation"))) {
    throw new RangeError(`modes: ${component} must have four fields to be a rotation, not ${fields.join(", ")} as ${words.join(", ")}`);
  }
  return words.map((word) => MODES[word]);
}

/**
 * How a value is drawn that nothing is said of.
 * @param {{codec: string, type: string}} value
 * @returns {Mode}
 */
function usual({ codec, type }) {
  if (codec === "angle" || codec === "rotation") return codec;
  return codec !== "packed" && type.startsWith("f") ? "linear" : "step";
}
