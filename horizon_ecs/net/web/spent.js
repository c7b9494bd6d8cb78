/**
 * Where the bits of a replica's frames went. They add up to the frames exactly; of a frame that is refused a part may count.
 */

import { MAX_GROUPS } from "./schema.js";

/** @typedef {{kind: string, component: string, field: string, channel: number, bits: number}} FieldBits */

export class Spent {
  /** Bits by part of a frame beside its blocks; they only grow. */
  header = 0;
  parameters = 0;
  structure = 0;
  waiting = 0;
  padding = 0;
  messages = 0;
  /** By (channel * MAX_GROUPS + group) * 2: bits of absolute records, then of shared ones. */
  blocks;
  /** As `blocks`: how many groups of entities were brought up to date. */
  told;
  /** Bits of the fields' numbers by Rice parameter (docs/wire.md), null unless they are watched. @type {Float64Array | null} */
  fields = null;
  #layout;

  /** @param {import("./schema.js").Layout} layout */
  constructor(layout) {
    this.#layout = layout;
    this.blocks = new Float64Array(layout.nChannels * MAX_GROUPS * 2);
    this.told = new Float64Array(layout.nChannels * MAX_GROUPS * 2);
  }

  /**
   * From now on, note the bits of each field too, which makes decoding a little slower; or stop it.
   * @param {boolean} on
   */
  watchFields(on) {
    this.fields = on ? this.fields ?? new Float64Array(this.#layout.nParameters) : null;
  }

  /** Bits by channel. */
  get channels() {
    return byChannel(this.blocks, this.#layout.nChannels);
  }

  /** How many groups of entities were brought up to date, by channel. */
  get toldByChannel() {
    return byChannel(this.told, this.#layout.nChannels);
  }

  /**
   * Bits by kind, channel and field, since they are watched. Less than those of the blocks by what says whose numbers come.
   * @returns {FieldBits[]} none unless they are watched
   */
  get byField() {
    const { fields } = this;
    if (fields === null) return [];
    const { schema, nChannels, parameter } = this.#layout;
    return schema.kinds.flatMap((kind, k) => kind.groups.flatMap((group, j) => group.fields.flatMap(({ name }, f) => (
      Array.from({ length: nChannels }, (_, channel) => ({
        kind: kind.name, component: group.component, field: name, channel,
        bits: fields[parameter[(k * nChannels + channel) * MAX_GROUPS + j] + f],
      }))
    ))));
  }

  /** All of them. */
  get total() {
    return this.header + this.parameters + this.structure + this.waiting + this.padding + this.messages + sum(this.blocks);
  }
}

/**
 * @param {Float64Array} blocks
 * @param {number} nChannels
 */
function byChannel(blocks, nChannels) {
  const width = MAX_GROUPS * 2;
  return Array.from({ length: nChannels }, (_, c) => sum(blocks.subarray(c * width, (c + 1) * width)));
}

/** @param {Float64Array} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
