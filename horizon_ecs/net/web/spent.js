/**
 * Where the bits of a replica's frames went. They add up to the frames exactly.
 */

import { MAX_GROUPS } from "./schema.js";

/** Parts of a frame beside its blocks. @typedef {"header" | "parameters" | "structure" | "waiting" | "padding" | "messages"} Part */

export class Spent {
  /** Bits by part; they only grow. */
  header = 0;
  parameters = 0;
  structure = 0;
  waiting = 0;
  padding = 0;
  messages = 0;
  /** By (channel * MAX_GROUPS + group) * 2: bits of absolute records, then of shared ones. */
  blocks;
  #nChannels;

  /** @param {number} nChannels */
  constructor(nChannels) {
    this.#nChannels = nChannels;
    this.blocks = new Float64Array(nChannels * MAX_GROUPS * 2);
  }

  /** Bits by channel. */
  get channels() {
    const width = MAX_GROUPS * 2;
    return Array.from({ length: this.#nChannels }, (_, c) => sum(this.blocks.subarray(c * width, (c + 1) * width)));
  }

  /** All of them. */
  get total() {
    return this.header + this.parameters + this.structure + this.waiting + this.padding + this.messages + sum(this.blocks);
  }
}

/** @param {Float64Array} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
