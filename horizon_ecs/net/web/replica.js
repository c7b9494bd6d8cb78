/**
 * What a client knows: the state-frame decoder of docs/wire.md. No I/O; bytes in, arrays out.
 *
 * Entries stand in flat typed arrays in the order of the server's list. Applying a frame allocates nothing, except when the list
 * outgrows what it ever was, and in a reset frame.
 */

import { BitReader, indexBits } from "./bits.js";
import { MessageLayout, readMessages } from "./messages.js";
import { WireError } from "./msgpack.js";
import { Records } from "./records.js";
import { LINEAR, MAX_GROUPS, MAX_RATE, NO_CHANNEL } from "./schema.js";
import { Spent } from "./spent.js";
import { readStructure } from "./structure.js";
import { Table } from "./table.js";

const RESET = 1;
const PARAMETERS = 2;
const STRUCTURE = 4;
const MESSAGES = 8;
const PARTIAL = 64;
const RATE_SHIFT = 4;

/** @typedef {import("./schema.js").Schema} Schema */

export class Replica extends Table {
  #reader = new BitReader();
  #records;
  #messageLayout;
  /** @type {Map<bigint, Map<number, string | Uint8Array>>} by handle and the text's number */
  #texts = new Map();
  /** Handles of the list, where messages asked for them since it last changed. @type {Set<bigint> | null} */
  #here = null;

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
    /** Where the bits of all frames went. */
    this.spent = new Spent(layout);
    this.#records = new Records(this, this.#reader, this.parameters, this.spent);
    /** The last frame's tick; -1 before the first. */
    this.tick = -1;
    /** Whether the last frame was a reset frame. */
    this.reset = false;
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
    this.#records.begin(tick + this.phase, this.reset);
    // Until the frame is through, the tick says that there is none to build on.
    this.tick = -1;
    const { spent } = this;
    spent.header += reader.position;
    let at = reader.position;
    if (flags & PARAMETERS) this.#readParameters();
    spent.parameters += reader.position - at;
    at = reader.position;
    this.nLeft = 0;
    this.nEntered = 0;
    if (flags & STRUCTURE) readStructure(this, reader, this.reset);
    else this.#keepList();
    spent.structure += reader.position - at;
    if (changesRate) this.stale.fill(0xff, 0, this.n);
    this.#records.read((flags & PARTIAL) !== 0);
    const padding = -reader.position & 7;
    spent.padding += padding;
    spent.messages += 8 * frame.length - reader.position - padding;
    reader.finish((flags & MESSAGES) !== 0);
    this.#readMessages(frame, flags);
    this.tick = tick;
    const counters = this.counters;
    counters.frames++;
    counters.updates = this.#records.nUpdates;
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
    return this.#records.isDue(i, group);
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
    if (flags & STRUCTURE) this.#here = null;
    if (flags & MESSAGES) {
      const here = (this.#here ??= new Set(Array.from({ length: this.n }, (_, i) => this.handle(i))));
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
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function readUint32(bytes, at) {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}
