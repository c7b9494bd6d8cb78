/**
 * The list of entities that a client follows, in flat typed arrays in the order of the server's list.
 */

import { enlarged } from "./arrays.js";
import { Layout, LINEAR, MAX_FIELDS, MAX_GROUPS, NO_CHANNEL } from "./schema.js";
import { valueOf } from "./values.js";

const INITIAL_CAPACITY = 1024;

/** @typedef {import("./schema.js").Schema} Schema */

export class Table {
  /** @type {Map<number, [number, number]>} slot to index and generation */
  #remembered = new Map();
  /** An entry's integers of the due tick before. */
  #past = new Int32Array(MAX_GROUPS * MAX_FIELDS);
  /** Entries in the list, and how many the arrays have room for. */
  n = 0;
  capacity = 0;
  /** How many left and entered with the last frame. */
  nLeft = 0;
  nEntered = 0;

  /**
   * Entries from `n` on mean nothing, in any array. The arrays are replaced when the list grows: read them anew after each frame.
   * @param {Schema} schema
   */
  constructor(schema) {
    this.schema = schema;
    this.layout = new Layout(schema);
    /** How many times channels' periods are doubled, so far as they can be; and `layout.period` at this rate. */
    this.rate = 0;
    this.period = this.layout.period;
    this.slot = new Uint32Array(0);
    this.generation = new Uint32Array(0);
    this.kind = new Uint8Array(0);
    /** Bit c: followed on channel c. */
    this.mask = new Uint8Array(0);
    /** Bit j: group j waits for an absolute record. */
    this.stale = new Uint8Array(0);
    /** Integers, `layout.stride` an entry, of which group j of kind k takes those from `layout.fieldBase[k * 8 + j]`. */
    this.q = new Int32Array(0);
    /**
     * By entry * 8 + group: the channel that its integers came on and, above 3 bits, the profile that the entity had then, in whose
     * units they are; NO_CHANNEL before the first record. They differ from carrier and profile while the group is stale.
     */
    this.unit = new Uint8Array(0);
    /** Their last differences. */
    this.d = new Int32Array(0);
    /** The index that an entry had before the last frame; -1 for one that entered. */
    this.previous = new Int32Array(0);
    /** The number of the frame that last moved an entry, for counting. */
    this.updated = new Uint32Array(0);
    /** Those that left with the last frame, `nLeft` of them. */
    this.leftSlot = new Uint32Array(0);
    this.leftGeneration = new Uint32Array(0);
    this.grow(Math.min(INITIAL_CAPACITY, schema.max_followed));
  }

  /**
   * Append an entity that entered; all its groups wait for an absolute record.
   * @param {number} kind
   * @param {number} slot
   * @param {number} generation
   * @param {number} mask
   */
  append(kind, slot, generation, mask) {
    // By twos, as entries come: a count alone must not make us allocate.
    if (this.n === this.capacity) this.grow(Math.min(2 * this.capacity, this.schema.max_followed));
    const i = this.n++;
    const { stride } = this.layout;
    this.kind[i] = kind;
    this.slot[i] = slot;
    this.generation[i] = generation;
    this.mask[i] = mask;
    this.stale[i] = (1 << this.layout.nGroups[kind]) - 1;
    this.previous[i] = -1;
    this.unit.fill(NO_CHANNEL, i * MAX_GROUPS, (i + 1) * MAX_GROUPS);
    this.q.fill(0, i * stride, (i + 1) * stride);
    this.d.fill(0, i * stride, (i + 1) * stride);
  }

  /**
   * Follow an entity on other channels; groups whose carrier changes become stale.
   * @param {number} i index in the list
   * @param {number} mask
   */
  setMask(i, mask) {
    const { carrier, nGroups } = this.layout;
    const k = this.kind[i];
    const before = (k * 256 + this.mask[i]) * MAX_GROUPS;
    const after = (k * 256 + mask) * MAX_GROUPS;
    this.mask[i] = mask;
    for (let j = 0; j < nGroups[k]; j++) {
      if (carrier[before + j] !== carrier[after + j]) this.stale[i] |= 1 << j;
    }
  }

  /**
   * Give an entity the layers of another profile: everything waits for an absolute record, and keeps its value until then.
   * @param {number} i index in the list
   * @param {number} kind
   * @param {number} mask
   */
  setProfile(i, kind, mask) {
    this.kind[i] = kind;
    this.mask[i] = mask;
    this.stale[i] = (1 << this.layout.nGroups[kind]) - 1;
  }

  /**
   * End the list behind those that were kept.
   * @param {number} kept
   * @param {number} left
   */
  closeUp(kept, left) {
    this.n = kept;
    this.nLeft = left;
  }

  /** Empty the list, but remember who was in it. */
  clear() {
    this.#remembered.clear();
    for (let i = 0; i < this.n; i++) this.#remembered.set(this.slot[i], [i, this.generation[i]]);
    this.n = 0;
  }

  /** Who is in the list again since `clear` has neither left nor entered. */
  compareWithRemembered() {
    this.nEntered = 0;
    for (let i = 0; i < this.n; i++) {
      const before = this.#remembered.get(this.slot[i]);
      if (before !== undefined && before[1] === this.generation[i]) {
        this.previous[i] = before[0];
        this.#remembered.delete(this.slot[i]);
      } else this.nEntered++;
    }
    for (const [slot, [, generation]] of this.#remembered) {
      this.leftSlot[this.nLeft] = slot;
      this.leftGeneration[this.nLeft++] = generation;
    }
    this.#remembered.clear();
  }

  /**
   * Enlarge every array to `capacity` entries.
   * @param {number} capacity
   */
  grow(capacity) {
    const { stride } = this.layout;
    this.capacity = capacity;
    this.slot = enlarged(this.slot, capacity);
    this.generation = enlarged(this.generation, capacity);
    this.kind = enlarged(this.kind, capacity);
    this.mask = enlarged(this.mask, capacity);
    this.stale = enlarged(this.stale, capacity);
    this.previous = enlarged(this.previous, capacity);
    this.updated = enlarged(this.updated, capacity);
    this.leftSlot = enlarged(this.leftSlot, capacity);
    this.leftGeneration = enlarged(this.leftGeneration, capacity);
    this.unit = enlarged(this.unit, capacity * MAX_GROUPS);
    this.q = enlarged(this.q, capacity * stride);
    this.d = enlarged(this.d, capacity * stride);
  }

  /**
   * @param {number} from
   * @param {number} to at or before it
   */
  moveEntry(from, to) {
    this.previous[to] = from;
    if (from === to) return;
    this.slot[to] = this.slot[from];
    this.generation[to] = this.generation[from];
    this.kind[to] = this.kind[from];
    this.mask[to] = this.mask[from];
    this.stale[to] = this.stale[from];
    for (let j = 0; j < MAX_GROUPS; j++) this.unit[to * MAX_GROUPS + j] = this.unit[from * MAX_GROUPS + j];
    const { stride } = this.layout;
    for (let f = 0; f < stride; f++) {
      this.q[to * stride + f] = this.q[from * stride + f];
      this.d[to * stride + f] = this.d[from * stride + f];
    }
  }

  /**
   * The entity's 64-bit handle.
   * @param {number} i index in the list
   */
  handle(i) {
    return (BigInt(this.generation[i]) << 32n) | BigInt(this.slot[i]);
  }

  /**
   * The index of an entity in the list, or -1. Looks through the whole list.
   * @param {bigint | number} handle
   */
  indexOf(handle) {
    const slot = Number(BigInt(handle) & 0xffff_ffffn);
    const generation = Number(BigInt(handle) >> 32n);
    for (let i = 0; i < this.n; i++) {
      if (this.slot[i] === slot && this.generation[i] === generation) return i;
    }
    return -1;
  }

  /**
   * The channel that carries an entry's group; NO_CHANNEL if none does.
   * @param {number} i index in the list
   * @param {number} group
   */
  carrier(i, group) {
    return this.layout.carrier[(this.kind[i] * 256 + this.mask[i]) * MAX_GROUPS + group];
  }

  /**
   * Let channels be due as at a rate. Returns whether they were at another before.
   * @param {number} rate
   */
  takeRate(rate) {
    if (rate === this.rate) return false;
    this.rate = rate;
    this.period = this.layout.periodsAt(rate);
    return true;
  }

  /**
   * Ticks between two due ones of the channel that carries an entry's group; 0 if none does.
   * @param {number} i index in the list
   * @param {number} group
   */
  periodOf(i, group) {
    const c = this.carrier(i, group);
    return c === NO_CHANNEL ? 0 : this.period[this.kind[i] * this.layout.nChannels + c];
  }

  /**
   * The integers of one group, or null if the entry's kind has no such group.
   * @param {number} i index in the list
   * @param {number} group
   */
  groupOf(i, group) {
    const k = this.kind[i];
    if (group >= this.layout.nGroups[k]) return null;
    const at = i * this.layout.stride + this.layout.fieldBase[k * MAX_GROUPS + group];
    return this.q.subarray(at, at + this.layout.nFields[k * MAX_GROUPS + group]);
  }

  /**
   * One field of all entries, dequantised; NaN where the kind lacks it or none was received.
   *
   * @param {string} component
   * @param {string} field
   * @param {Float32Array | Float64Array} [out] at least `n` long; a new one by default
   * @returns {Float32Array | Float64Array} `out`
   * @throws {RangeError} when no kind has such a field
   */
  column(component, field, out = new Float64Array(this.n)) {
    const { layout } = this;
    const places = this.schema.kinds.map((_, k) => layout.find(k, component, field));
    if (places.every((place) => place === null)) throw new RangeError(`no kind replicates a field ${component}.${field}`);
    for (let i = 0; i < this.n; i++) {
      const place = places[this.kind[i]];
      const came = place === null ? null : places[this.cameAs(i, place.group)];
      out[i] = came === null ? NaN : this.valueAt(i, came);
    }
    return out;
  }

  /**
   * One field of one entity, dequantised; NaN where its kind lacks it or none was received.
   * @param {number} i index in the list
   * @param {string} component
   * @param {string} field
   */
  read(i, component, field) {
    const place = this.layout.find(this.kind[i], component, field);
    if (place === null) return NaN;
    const came = this.layout.find(this.cameAs(i, place.group), component, field);
    return came === null ? NaN : this.valueAt(i, came);
  }

  /**
   * The number of the kind, with the profile that the entity had then, that a group's integers came as; its kind before the first.
   * @param {number} i index in the list
   * @param {number} group
   */
  cameAs(i, group) {
    const unit = this.unit[i * MAX_GROUPS + group];
    return unit === NO_CHANNEL ? this.kind[i] : this.layout.firstProfile[this.kind[i]] + (unit >> 3);
  }

  /**
   * A field of what its integers came as.
   * @param {number} i index in the list
   * @param {NonNullable<ReturnType<Layout["find"]>>} place
   */
  valueAt(i, place) {
    const parameter = this.#parameterOf(i, place.group);
    return parameter < 0 ? NaN : valueOf(this.q, i * this.layout.stride, place, this.layout.scale[parameter + place.index]);
  }

  /**
   * Some values of a group, and what they were one due tick earlier as the wire's predictor has it: NaN where that isn't linear.
   * @param {number} i index in the list
   * @param {NonNullable<ReturnType<Layout["find"]>>[]} places in the kind that the group's integers came as
   * @param {Float64Array} out
   * @param {Float64Array} before
   */
  readGroup(i, places, out, before) {
    const { order, scale, stride } = this.layout;
    const parameter = this.#parameterOf(i, places[0].group);
    for (let p = 0; p < places.length; p++) {
      const place = places[p];
      const linear = parameter >= 0 && order[parameter + place.index] === LINEAR;
      const at = i * stride + place.offset;
      const unit = scale[parameter + place.index];
      if (linear && place.codec === "quantised") {
        out[p] = this.q[at] * unit;
        before[p] = ((this.q[at] - this.d[at]) | 0) * unit;
      } else {
        out[p] = this.valueAt(i, place);
        before[p] = linear ? this.#pastAt(i, place, unit) : NaN;
      }
    }
  }

  /**
   * @param {number} i index in the list
   * @param {NonNullable<ReturnType<Layout["find"]>>} place
   * @param {number} unit
   */
  #pastAt(i, place, unit) {
    const at = i * this.layout.stride;
    const first = place.offset - place.index;
    for (let f = first; f < first + MAX_FIELDS; f++) this.#past[f] = this.q[at + f] - this.d[at + f];
    return valueOf(this.#past, 0, place, unit);
  }

  /**
   * The number of the first parameter of what a group's integers came as; -1 before they came.
   * @param {number} i index in the list
   * @param {number} group
   */
  #parameterOf(i, group) {
    const unit = this.unit[i * MAX_GROUPS + group];
    if (unit === NO_CHANNEL) return -1;
    return this.layout.parameter[(this.cameAs(i, group) * this.layout.nChannels + (unit & 7)) * MAX_GROUPS + group];
  }

  /**
   * Everything that is known, for tools and tests.
   * @returns {Map<bigint, {kind: string, mask: number, q: number[][]}>} by handle; integers by group
   */
  toMap() {
    const table = new Map();
    for (let i = 0; i < this.n; i++) {
      const groups = this.schema.kinds[this.kind[i]].groups;
      const q = groups.map((_, j) => Array.from(/** @type {Int32Array} */ (this.groupOf(i, j))));
      table.set(this.handle(i), { kind: this.schema.kinds[this.kind[i]].name, mask: this.mask[i], q });
    }
    return table;
  }
}
