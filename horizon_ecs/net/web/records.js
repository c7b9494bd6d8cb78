/**
 * The records of a state frame: of whom anything is due, in which blocks, and what came of it (docs/wire.md).
 */

import { indexBits, unzigzag } from "./bits.js";
import { WireError } from "./msgpack.js";
import { LINEAR, MAX_FIELDS, MAX_GROUPS, NO_CHANNEL } from "./schema.js";

const PARTIAL_LIST = 1;
const PARTIAL_BITMAP = 2;

const DENSE = 1;
const BITMAP = 2;
const LIST = 3;

/** More than any bits of groups. */
const UNKNOWN = 0xffff;

/** @typedef {import("./table.js").Table} Table */
/** @typedef {import("./bits.js").BitReader} BitReader */

export class Records {
  /** Entities that frames moved, by bits or by a prediction that came true. */
  nUpdates = 0;

  #table;
  #reader;
  #parameters;
  #spent;
  /** By kind: the bits of the channels that are due. */
  #due;
  /** By 2 * (channel * MAX_GROUPS + group) + shared: where the block's entries end, and how many there are. */
  #blockEnd;
  #reference;
  /** Indices of the entries of which anything is due. */
  #active = new Uint32Array(0);
  /** By kind * 256 + mask: the groups that are due, as bits, or UNKNOWN. */
  #dueGroups;
  /** Indices of the list, sorted by block. */
  #sorted = new Uint32Array(0);
  #reset = false;
  #frameNumber = 0;

  /**
   * @param {Table} table to read into
   * @param {BitReader} reader
   * @param {Uint8Array} parameters Rice parameters
   * @param {import("./spent.js").Spent} spent to count bits in
   */
  constructor(table, reader, parameters, spent) {
    const { nKinds, nChannels } = table.layout;
    this.#table = table;
    this.#reader = reader;
    this.#parameters = parameters;
    this.#spent = spent;
    this.#due = new Uint8Array(nKinds);
    this.#dueGroups = new Uint16Array(nKinds * 256);
    this.#blockEnd = new Uint32Array(2 * nChannels * MAX_GROUPS + 1);
    this.#reference = new Int32Array(nKinds * MAX_FIELDS);
  }

  /**
   * Find which channels are due in a frame, at the table's rate.
   * @param {number} time its tick and the observer's phase
   * @param {boolean} reset whether all are
   */
  begin(time, reset) {
    const { layout, period } = this.#table;
    this.#reset = reset;
    this.#frameNumber = (this.#frameNumber + 1) >>> 0;
    for (let k = 0; k < layout.nKinds; k++) {
      let due = reset ? layout.channels[k] : 0;
      for (let c = 0; c < layout.nChannels && !reset; c++) {
        const every = period[k * layout.nChannels + c];
        if (every !== 0 && time % every === 0) due |= 1 << c;
      }
      this.#due[k] = due;
    }
  }

  /**
   * Whether the frame brought a group up to its own tick.
   * @param {number} i index in the list
   * @param {number} group
   */
  isDue(i, group) {
    const c = this.#table.carrier(i, group);
    return c !== NO_CHANNEL && ((this.#due[this.#table.kind[i]] >> c) & 1) === 1 && ((this.#table.stale[i] >> group) & 1) === 0;
  }

  /**
   * Read all records, once the table's list is the frame's.
   * @param {boolean} partial whether the frame says who has any
   * @throws {WireError} when malformed
   */
  read(partial) {
    const nDue = this.#findActive();
    const before = this.#reader.position;
    const nActive = partial ? this.#readPartial(nDue) : nDue;
    this.#spent.waiting += this.#reader.position - before;
    this.#sortIntoBlocks(nActive);
    this.#readBlocks();
  }

  /** Note the entries of which any group is due; most aren't due in most frames. */
  #findActive() {
    const { n: length, capacity, kind, mask } = this.#table;
    if (this.#active.length < length) this.#active = new Uint32Array(capacity);
    const active = this.#active;
    const dueGroups = this.#dueGroups;
    dueGroups.fill(UNKNOWN);
    let n = 0;
    for (let i = 0; i < length; i++) {
      const followed = kind[i] * 256 + mask[i];
      if (dueGroups[followed] === UNKNOWN) dueGroups[followed] = this.#findDueGroups(followed);
      if (dueGroups[followed] !== 0) active[n++] = i;
    }
    return n;
  }

  /**
   * The groups that are due of what is followed on some channels, as bits.
   * @param {number} followed kind * 256 + mask
   */
  #findDueGroups(followed) {
    const { carrier } = this.#table.layout;
    const due = this.#due[followed >> 8];
    let groups = 0;
    for (let j = 0; j < MAX_GROUPS; j++) {
      const c = carrier[followed * MAX_GROUPS + j];
      if (c !== NO_CHANNEL && (due >> c) & 1) groups |= 1 << j;
    }
    return groups;
  }

  /**
   * Who of those due has anything in this frame: of the others what is due goes stale. Returns how many are left.
   * @param {number} nDue
   */
  #readPartial(nDue) {
    const { stale, kind, mask } = this.#table;
    const reader = this.#reader;
    const active = this.#active;
    const mode = reader.take(2);
    if (mode > PARTIAL_BITMAP) throw new WireError(`unknown mode ${mode} of a partial frame`);
    const width = indexBits(nDue);
    let left = mode === PARTIAL_LIST ? reader.gamma() : 0;
    if (left > nDue) throw new WireError(`${left} of ${nDue} due`);
    let next = left > 0 ? this.#position(-1, 0, nDue, width) : -1;
    let n = 0;
    for (let a = 0; a < nDue; a++) {
      const i = active[a];
      if (a === next || (mode === PARTIAL_BITMAP && reader.take(1) === 1)) active[n++] = i;
      else stale[i] |= this.#dueGroups[kind[i] * 256 + mask[i]];
      if (a === next) next = --left > 0 ? this.#position(a, 0, nDue, width) : -1;
    }
    return n;
  }

  /**
   * Sort the due groups of the active entries by block: absolute ones first, then shared ones, each in list order.
   * @param {number} nActive
   */
  #sortIntoBlocks(nActive) {
    const end = this.#blockEnd;
    end.fill(0);
    this.#eachDue(nActive, false);
    let sum = 0;
    for (let b = 0; b < end.length; b++) {
      const count = end[b];
      end[b] = sum;
      sum += count;
    }
    if (sum > this.#sorted.length) this.#sorted = new Uint32Array(2 * sum);
    this.#eachDue(nActive, true);
  }

  /**
   * Count the entries of every block or, once their beginnings are known, put them there; then each beginning has become an end.
   * @param {number} nActive
   * @param {boolean} put
   */
  #eachDue(nActive, put) {
    const { layout: { carrier }, kind, mask, stale } = this.#table;
    const end = this.#blockEnd;
    const sorted = this.#sorted;
    for (let a = 0; a < nActive; a++) {
      const i = this.#active[a];
      const followed = kind[i] * 256 + mask[i];
      const absolute = this.#reset ? 255 : stale[i];
      for (let groups = this.#dueGroups[followed]; groups !== 0; groups &= groups - 1) {
        const j = 31 - Math.clz32(groups & -groups);
        const b = 2 * (carrier[followed * MAX_GROUPS + j] * MAX_GROUPS + j) + (((absolute >> j) & 1) ^ 1);
        if (put) sorted[end[b]] = i;
        end[b]++;
      }
    }
  }

  #readBlocks() {
    const end = this.#blockEnd;
    const reader = this.#reader;
    const { blocks, told } = this.#spent;
    const n = this.#table.layout.nChannels * MAX_GROUPS;
    let from = 0;
    for (let b = 0; b < n; b++) {
      const c = b >> 3;
      const j = b & 7;
      const before = reader.position;
      if (end[2 * b] > from) this.#readAbsolutes(c, j, from, end[2 * b]);
      blocks[2 * b] += reader.position - before;
      const between = reader.position;
      if (end[2 * b + 1] > end[2 * b]) this.#readShared(c, j, end[2 * b], end[2 * b + 1]);
      blocks[2 * b + 1] += reader.position - between;
      told[2 * b] += end[2 * b] - from;
      told[2 * b + 1] += end[2 * b + 1] - end[2 * b];
      from = end[2 * b + 1];
    }
  }

  /**
   * @param {number} c channel
   * @param {number} j group
   * @param {number} from first place in the order
   * @param {number} to behind the last
   */
  #readAbsolutes(c, j, from, to) {
    const { layout, kind, q, d, stale, unit } = this.#table;
    const { order } = layout;
    const reader = this.#reader;
    const reference = this.#reference;
    const { fields } = this.#spent;
    reference.fill(0);
    for (let o = from; o < to; o++) {
      const i = this.#sorted[o];
      const k = kind[i];
      const parameter = layout.parameter[(k * layout.nChannels + c) * MAX_GROUPS + j];
      const at = i * layout.stride + layout.fieldBase[k * MAX_GROUPS + j];
      const nFields = layout.nFields[k * MAX_GROUPS + j];
      for (let f = 0; f < nFields; f++) {
        const start = reader.position;
        q[at + f] = reference[k * MAX_FIELDS + f] = (reference[k * MAX_FIELDS + f] + unzigzag(reader.wide())) | 0;
        d[at + f] = order[parameter + f] === LINEAR ? unzigzag(reader.wide()) : 0;
        if (fields !== null) fields[parameter + f] += reader.position - start;
      }
      stale[i] &= ~(1 << j);
      unit[i * MAX_GROUPS + j] = ((k - layout.firstProfile[k]) << 3) | c;
    }
  }

  /**
   * @param {number} c channel
   * @param {number} j group
   * @param {number} from first place in the order
   * @param {number} to behind the last
   */
  #readShared(c, j, from, to) {
    const { layout, kind } = this.#table;
    const reader = this.#reader;
    const n = to - from;
    const mode = reader.take(2);
    const width = indexBits(n);
    let left = mode === LIST ? reader.gamma() : 0;
    if (left > n) throw new WireError(`${left} records for ${n} entries`);
    let next = left > 0 ? this.#position(from - 1, from, n, width) : -1;
    let [selected, parameter, base, nFields] = [-1, 0, 0, 0];
    for (let o = from; o < to; o++) {
      const i = this.#sorted[o];
      if (kind[i] !== selected) {
        selected = kind[i];
        parameter = layout.parameter[(selected * layout.nChannels + c) * MAX_GROUPS + j];
        base = layout.fieldBase[selected * MAX_GROUPS + j];
        nFields = layout.nFields[selected * MAX_GROUPS + j];
      }
      const at = i * layout.stride + base;
      const present = mode === DENSE || o === next || (mode === BITMAP && reader.take(1) === 1);
      const moved = present ? this.#readRecord(at, parameter, nFields) : this.#predict(at, parameter, nFields);
      if (moved !== 0) this.#noteUpdate(i);
      if (o === next) next = --left > 0 ? this.#position(o, from, n, width) : -1;
    }
  }

  /**
   * The place of the next record in a list of positions.
   * @param {number} last the place before
   * @param {number} from
   * @param {number} n
   * @param {number} width
   */
  #position(last, from, n, width) {
    const position = this.#reader.take(width);
    if (position >= n || from + position <= last) throw new WireError(`position ${position} of ${n} entries is out of order`);
    return from + position;
  }

  /**
   * Apply a record: a residual to each field. Returns other than 0 where a value changed.
   * @param {number} at the first field's place
   * @param {number} parameter the first field's
   * @param {number} nFields
   */
  #readRecord(at, parameter, nFields) {
    const { q, d, layout: { order } } = this.#table;
    const parameters = this.#parameters;
    const reader = this.#reader;
    const { fields } = this.#spent;
    let moved = 0;
    for (let f = 0; f < nFields; f++) {
      const before = q[at + f];
      const start = reader.position;
      const code = reader.rice(parameters[parameter + f]);
      if (fields !== null) fields[parameter + f] += reader.position - start;
      const r = unzigzag(code);
      // The arrays' own 32 bits wrap every sum.
      switch (order[parameter + f]) {
        case LINEAR: q[at + f] = before + (d[at + f] += r); break;
        case 1: q[at + f] = before + r; break;
        case 3: q[at + f] = before ^ code; break;
        default: q[at + f] = r;
      }
      moved |= q[at + f] ^ before;
    }
    return moved;
  }

  /**
   * Let the predictions of a group come true: every residual is 0. Returns other than 0 where a value changed.
   * @param {number} at the first field's place
   * @param {number} parameter the first field's
   * @param {number} nFields
   */
  #predict(at, parameter, nFields) {
    const { q, d, layout: { order } } = this.#table;
    let moved = 0;
    for (let f = 0; f < nFields; f++) {
      if (order[parameter + f] === LINEAR) {
        q[at + f] += d[at + f];
        moved |= d[at + f];
      } else if (order[parameter + f] === 0) {
        moved |= q[at + f];
        q[at + f] = 0;
      }
    }
    return moved;
  }

  /**
   * Count an entity once a frame, however many of its groups moved.
   * @param {number} i index in the list
   */
  #noteUpdate(i) {
    const { updated } = this.#table;
    if (updated[i] === this.#frameNumber) return;
    updated[i] = this.#frameNumber;
    this.nUpdates++;
  }
}
