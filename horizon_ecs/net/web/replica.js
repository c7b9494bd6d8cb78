/**
 * What a client knows: the state-frame decoder of docs/wire.md. No I/O; bytes in, arrays out.
 *
 * Entries stand in flat typed arrays in the order of the server's list. Applying a frame allocates nothing, except when the list
 * outgrows what it ever was, and in a reset frame.
 */

import { BitReader, indexBits, unzigzag } from "./bits.js";
import { MessageLayout, readMessages } from "./messages.js";
import { WireError } from "./msgpack.js";
import { LINEAR, MAX_FIELDS, MAX_GROUPS, MAX_RATE, NO_CHANNEL } from "./schema.js";
import { Spent } from "./spent.js";
import { Table } from "./table.js";

const RESET = 1;
const PARAMETERS = 2;
const STRUCTURE = 4;
const MESSAGES = 8;
const PARTIAL = 64;
const RATE_SHIFT = 4;

const PARTIAL_LIST = 1;
const PARTIAL_BITMAP = 2;

const DENSE = 1;
const BITMAP = 2;
const LIST = 3;

/** More than any bits of groups. */
const UNKNOWN = 0xffff;

/** @typedef {import("./schema.js").Schema} Schema */

export class Replica extends Table {
  #reader = new BitReader();
  /** By kind: the bits of the channels due in this frame. */
  #due;
  /** By 2 * (channel * MAX_GROUPS + group) + shared: where the block's entries end, and how many there are. */
  #blockEnd;
  #reference;
  /** Indices of the entries of which anything is due. */
  #active = new Uint32Array(0);
  /** By kind * 256 + mask: the groups that are due, as bits, or UNKNOWN. */
  #dueGroups;
  /** Indices of the list, sorted by block. */
  #order = new Uint32Array(0);
  #messageLayout;
  /** @type {Map<bigint, Map<number, string | Uint8Array>>} by handle and the text's number */
  #texts = new Map();
  #frameNumber = 0;

  /**
   * @param {Schema} schema of the welcome message
   * @param {{phase: number}} options the welcome's phase
   * @throws {WireError} when the schema isn't one
   */
  constructor(schema, { phase }) {
    if (!Number.isInteger(phase) || phase < 0 || phase > 0xffff_ffff) throw new WireError(`phase is ${phase}, must be an uint32`);
    super(schema);
    const { layout } = this;
    this.phase = phase;
    this.#messageLayout = new MessageLayout(schema);
    /** The events that came with the last frame, in order. @type {import("./messages.js").Told[]} */
    this.messages = [];
    /** Rice parameters. */
    this.parameters = new Uint8Array(layout.nParameters);
    this.#due = new Uint8Array(layout.nKinds);
    this.#dueGroups = new Uint16Array(layout.nKinds * 256);
    this.#blockEnd = new Uint32Array(2 * layout.nChannels * MAX_GROUPS + 1);
    this.#reference = new Int32Array(layout.nKinds * MAX_FIELDS);
    /** The last frame's tick; -1 before the first. */
    this.tick = -1;
    /** Whether the last frame was a reset frame. */
    this.reset = false;
    /** Bit c: some kind had channel c due in the last frame. */
    this.due = 0;
    /** Where the bits of all frames went. */
    this.spent = new Spent(layout);
    /** Since the beginning. `updates` counts the entities that a frame moved, by bits or by a prediction that came true. */
    this.counters = { frames: 0, bytes: 0, updates: 0, enters: 0, leaves: 0, resets: 0 };
  }

  /**
   * Decode one state frame.
   *
   * @param {Uint8Array} frame
   * @throws {WireError} when malformed; the table then means nothing until the next reset frame
   */
  apply(frame) {
    const flags = this.#header(frame);
    const tick = flags & RESET ? readUint32(frame, 1) : this.tick + frame[1];
    const first = flags & RESET ? 5 : 2;
    const reader = this.#reader;
    reader.load(frame, first);
    if (!(flags & RESET)) this.#silentTicks(tick);
    this.reset = (flags & RESET) !== 0;
    const changesRate = this.takeRate((flags >> RATE_SHIFT) & MAX_RATE);
    this.#findDue(tick);
    // Until the frame is through, the tick says that there is none to build on.
    this.tick = -1;
    const { spent } = this;
    spent.header += reader.position;
    let at = reader.position;
    if (flags & PARAMETERS) this.#readParameters();
    spent.parameters += reader.position - at;
    at = reader.position;
    this.#frameNumber = (this.#frameNumber + 1) >>> 0;
    this.nLeft = 0;
    this.nEntered = 0;
    if (flags & STRUCTURE) this.#readStructure();
    else this.#keepList();
    spent.structure += reader.position - at;
    at = reader.position;
    if (changesRate) this.stale.fill(0xff, 0, this.n);
    const nDue = this.#findActive();
    const nActive = (flags & PARTIAL) !== 0 ? this.#readPartial(nDue) : nDue;
    spent.waiting += reader.position - at;
    this.#sortIntoBlocks(nActive);
    this.#readBlocks();
    const padding = -reader.position & 7;
    spent.padding += padding;
    spent.messages += 8 * frame.length - reader.position - padding;
    reader.finish((flags & MESSAGES) !== 0);
    this.#readMessages(frame, flags);
    this.tick = tick;
    const counters = this.counters;
    counters.frames++;
    counters.bytes += frame.length;
    counters.enters += this.nEntered;
    counters.leaves += this.nLeft;
    if (this.reset) counters.resets++;
  }

  /**
   * Whether the last frame brought a group up to its own tick, be it by a record or by a prediction that came true.
   * @param {number} i index in the list
   * @param {number} group
   */
  isDue(i, group) {
    const c = this.carrier(i, group);
    return c !== NO_CHANNEL && ((this.#due[this.kind[i]] >> c) & 1) === 1 && ((this.stale[i] >> group) & 1) === 0;
  }

  /**
   * A text of one entity, such as "Name.text"; null where none has come.
   * @param {bigint | number} handle
   * @param {string} name
   * @returns {string | Uint8Array | null}
   * @throws {RangeError} when no kind replicates this text
   */
  text(handle, name) {
    return this.#texts.get(BigInt(handle))?.get(this.#messageLayout.textNumber(name)) ?? null;
  }

  /**
   * A text of every entity, in the order of the list.
   * @param {string} name
   */
  texts(name) {
    return Array.from({ length: this.n }, (_, i) => this.text(this.handle(i), name));
  }

  /**
   * @param {Uint8Array} frame
   * @param {number} flags
   */
  #readMessages(frame, flags) {
    this.messages = [];
    if (this.reset) this.#texts.clear();
    if (flags & MESSAGES) {
      const here = new Set();
      for (let i = 0; i < this.n; i++) here.add(this.handle(i));
      const left = new Set(this.#left());
      const at = (this.#reader.position + 7) >>> 3;
      this.messages = readMessages(
        frame, at, this.#messageLayout, this.schema.n_slots, (handle) => here.has(handle),
        (handle) => this.reset || here.has(handle) || left.has(handle), (handle, number, text) => this.#keepText(handle, number, text),
      );
    }
    if (this.#texts.size > 0) for (const handle of this.#left()) this.#texts.delete(handle);
  }

  /** The handles of those who left with this frame. */
  *#left() {
    for (let l = 0; l < this.nLeft; l++) yield (BigInt(this.leftGeneration[l]) << 32n) | BigInt(this.leftSlot[l]);
  }

  /**
   * @param {bigint} handle
   * @param {number} number
   * @param {string | Uint8Array} text
   */
  #keepText(handle, number, text) {
    const texts = this.#texts.get(handle) ?? new Map();
    this.#texts.set(handle, texts.set(number, text));
  }

  /** @param {Uint8Array} frame */
  #header(frame) {
    if (frame.length < 1) throw new WireError("empty frame");
    const flags = frame[0];
    const known = RESET | PARAMETERS | STRUCTURE | MESSAGES | PARTIAL | (MAX_RATE << RATE_SHIFT);
    if (flags & ~known || (flags & RESET && flags & PARTIAL)) throw new WireError(`unknown flags 0x${flags.toString(16)}`);
    if (frame.length < (flags & RESET ? 5 : 2)) throw new WireError(`frame of ${frame.length} bytes ends within its header`);
    if (flags & RESET) {
      if (!(flags & STRUCTURE)) throw new WireError("reset frame without structure");
    } else {
      if (this.tick < 0) throw new WireError("frame without a reset frame to build on");
      if (frame[1] === 0) throw new WireError("frame repeats the last one's tick");
    }
    return flags;
  }

  /**
   * Step the predictors over the ticks between the last frame and `tick`, in which all predictions came true.
   * @param {number} tick
   */
  #silentTicks(tick) {
    const { layout } = this;
    if (tick - this.tick < 2) return;
    for (let i = 0; i < this.n; i++) {
      const k = this.kind[i];
      for (let j = 0; j < layout.nGroups[k]; j++) {
        const c = layout.carrier[(k * 256 + this.mask[i]) * MAX_GROUPS + j];
        if (c === NO_CHANNEL || (this.stale[i] >> j) & 1) continue;
        const period = this.period[k * layout.nChannels + c];
        const steps = Math.floor((tick - 1 + this.phase) / period) - Math.floor((this.tick + this.phase) / period);
        if (steps === 0) continue;
        const parameter = layout.parameter[(k * layout.nChannels + c) * MAX_GROUPS + j];
        const at = i * layout.stride + layout.fieldBase[k * MAX_GROUPS + j];
        for (let f = 0; f < layout.nFields[k * MAX_GROUPS + j]; f++) {
          if (layout.order[parameter + f] === LINEAR) this.q[at + f] += Math.imul(steps, this.d[at + f]);
        }
      }
    }
  }

  /** @param {number} tick */
  #findDue(tick) {
    const { layout } = this;
    this.due = 0;
    for (let k = 0; k < layout.nKinds; k++) {
      let due = this.reset ? layout.channels[k] : 0;
      for (let c = 0; c < layout.nChannels && !this.reset; c++) {
        const period = this.period[k * layout.nChannels + c];
        if (period !== 0 && (tick + this.phase) % period === 0) due |= 1 << c;
      }
      this.#due[k] = due;
      this.due |= due;
    }
  }

  #readParameters() {
    const reader = this.#reader;
    const n = this.layout.nParameters;
    if (this.reset) {
      for (let p = 0; p < n; p++) this.parameters[p] = reader.take(5);
      return;
    }
    const changed = reader.gamma();
    const width = indexBits(n);
    for (let i = 0; i < changed; i++) {
      const p = reader.take(width);
      if (p >= n) throw new WireError(`Rice parameter ${p} of ${n}`);
      this.parameters[p] = reader.take(5);
    }
  }

  /** No structure: every entry stays where it is. */
  #keepList() {
    for (let i = 0; i < this.n; i++) this.previous[i] = i;
  }

  #readStructure() {
    if (this.reset) this.clear();
    else {
      this.#readLeaves();
      this.#readMoves();
    }
    this.#readEnters();
    if (this.reset) this.compareWithRemembered();
  }

  #readLeaves() {
    const reader = this.#reader;
    const leaves = reader.gamma();
    if (leaves > this.n) throw new WireError(`${leaves} leave a list of ${this.n}`);
    const width = indexBits(this.n);
    let kept = 0;
    let next = 0;
    for (let l = 0; l <= leaves; l++) {
      const index = l < leaves ? reader.take(width) : this.n;
      if (index < next || (l < leaves && index >= this.n)) throw new WireError(`index ${index} leaves a list of ${this.n} out of order`);
      for (; next < index; next++) this.moveEntry(next, kept++);
      if (l === leaves) break;
      this.leftSlot[l] = this.slot[index];
      this.leftGeneration[l] = this.generation[index];
      next = index + 1;
    }
    this.closeUp(kept, leaves);
  }

  #readMoves() {
    const reader = this.#reader;
    const moves = reader.gamma();
    if (moves > this.n) throw new WireError(`${moves} move in a list of ${this.n}`);
    const width = indexBits(this.n);
    let last = -1;
    for (let m = 0; m < moves; m++) {
      const i = reader.take(width);
      if (i <= last || i >= this.n) throw new WireError(`index ${i} moves in a list of ${this.n} out of order`);
      last = i;
      const { firstProfile, nProfiles } = this.layout;
      const before = this.kind[i];
      const number = reader.take(indexBits(nProfiles[before]));
      if (number >= nProfiles[before]) throw new WireError(`profile ${number} of ${nProfiles[before]}`);
      const kind = firstProfile[before] + number;
      const mask = this.#readMask(kind);
      if (kind === before) this.setMask(i, mask);
      else this.setProfile(i, kind, mask);
    }
  }

  /** @param {number} kind */
  #readMask(kind) {
    const mask = this.#reader.take(this.layout.nChannels);
    if (mask === 0 || mask & ~this.layout.channels[kind]) {
      throw new WireError(`mask ${mask} of a kind with channels ${this.layout.channels[kind]}`);
    }
    return mask;
  }

  #readEnters() {
    const { layout, schema } = this;
    const reader = this.#reader;
    const enters = reader.gamma();
    if (this.n + enters > schema.max_followed) throw new WireError(`list of ${this.n + enters}, at most ${schema.max_followed} are followed`);
    const kindBits = indexBits(layout.nKinds);
    const slotBits = indexBits(schema.n_slots);
    for (let e = 0; e < enters; e++) {
      const k = reader.take(kindBits);
      if (k >= layout.nKinds) throw new WireError(`kind ${k} of ${layout.nKinds}`);
      const slot = reader.take(slotBits);
      if (slot >= schema.n_slots) throw new WireError(`slot ${slot} of ${schema.n_slots}`);
      const generation = reader.gamma() + 1;
      this.append(k, slot, generation, this.#readMask(k));
    }
    this.nEntered = enters;
  }

  /**
   * Who of those due has anything in this frame: of the others what is due goes stale. Returns how many are left.
   * @param {number} nDue
   */
  #readPartial(nDue) {
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
      else this.stale[i] |= this.#dueGroups[this.kind[i] * 256 + this.mask[i]];
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
    if (sum > this.#order.length) this.#order = new Uint32Array(2 * sum);
    this.#eachDue(nActive, true);
  }

  /** Note the entries of which any group is due; most aren't due in most frames. */
  #findActive() {
    if (this.#active.length < this.n) this.#active = new Uint32Array(this.capacity);
    const { kind, mask } = this;
    const active = this.#active;
    const dueGroups = this.#dueGroups;
    dueGroups.fill(UNKNOWN);
    let n = 0;
    for (let i = 0; i < this.n; i++) {
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
    const { carrier } = this.layout;
    const due = this.#due[followed >> 8];
    let groups = 0;
    for (let j = 0; j < MAX_GROUPS; j++) {
      const c = carrier[followed * MAX_GROUPS + j];
      if (c !== NO_CHANNEL && (due >> c) & 1) groups |= 1 << j;
    }
    return groups;
  }

  /**
   * Count the entries of every block or, once their beginnings are known, put them there; then each beginning has become an end.
   * @param {number} nActive
   * @param {boolean} put
   */
  #eachDue(nActive, put) {
    const { carrier } = this.layout;
    const { kind, mask, stale, reset } = this;
    const end = this.#blockEnd;
    const order = this.#order;
    for (let a = 0; a < nActive; a++) {
      const i = this.#active[a];
      const followed = kind[i] * 256 + mask[i];
      const absolute = reset ? 255 : stale[i];
      for (let groups = this.#dueGroups[followed]; groups !== 0; groups &= groups - 1) {
        const j = 31 - Math.clz32(groups & -groups);
        const b = 2 * (carrier[followed * MAX_GROUPS + j] * MAX_GROUPS + j) + (((absolute >> j) & 1) ^ 1);
        if (put) order[end[b]] = i;
        end[b]++;
      }
    }
  }

  #readBlocks() {
    const end = this.#blockEnd;
    const reader = this.#reader;
    const { blocks, told } = this.spent;
    const n = this.layout.nChannels * MAX_GROUPS;
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
    const { layout } = this;
    const reader = this.#reader;
    const { fields } = this.spent;
    this.#reference.fill(0);
    for (let o = from; o < to; o++) {
      const i = this.#order[o];
      const k = this.kind[i];
      const parameter = layout.parameter[(k * layout.nChannels + c) * MAX_GROUPS + j];
      const at = i * layout.stride + layout.fieldBase[k * MAX_GROUPS + j];
      const nFields = layout.nFields[k * MAX_GROUPS + j];
      for (let f = 0; f < nFields; f++) {
        const start = reader.position;
        const q = (this.#reference[k * MAX_FIELDS + f] + unzigzag(reader.wide())) | 0;
        this.#reference[k * MAX_FIELDS + f] = q;
        this.q[at + f] = q;
        this.d[at + f] = layout.order[parameter + f] === LINEAR ? unzigzag(reader.wide()) : 0;
        if (fields !== null) fields[parameter + f] += reader.position - start;
      }
      this.stale[i] &= ~(1 << j);
      this.unit[i * MAX_GROUPS + j] = ((k - layout.firstProfile[k]) << 3) | c;
    }
  }

  /**
   * @param {number} c channel
   * @param {number} j group
   * @param {number} from first place in the order
   * @param {number} to behind the last
   */
  #readShared(c, j, from, to) {
    const { layout, kind } = this;
    const reader = this.#reader;
    const n = to - from;
    const mode = reader.take(2);
    const width = indexBits(n);
    let left = mode === LIST ? reader.gamma() : 0;
    if (left > n) throw new WireError(`${left} records for ${n} entries`);
    let next = left > 0 ? this.#position(from - 1, from, n, width) : -1;
    let [selected, parameter, base, nFields] = [-1, 0, 0, 0];
    for (let o = from; o < to; o++) {
      const i = this.#order[o];
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
    const { q, d, parameters } = this;
    const { order } = this.layout;
    const { fields } = this.spent;
    const reader = this.#reader;
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
    const { q, d } = this;
    const { order } = this.layout;
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
    if (this.updated[i] === this.#frameNumber) return;
    this.updated[i] = this.#frameNumber;
    this.counters.updates++;
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function readUint32(bytes, at) {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}
