/**
 * Raw deflate (RFC 1951) undone, for short texts: what browsers have for it answers later, and a frame is applied at once.
 */

import { WireError } from "./msgpack.js";

const MAX_CODE_BITS = 15;
const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
/** The order in which the lengths of code lengths are sent. */
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** @typedef {{count: Uint16Array, symbol: number[]}} Code how many codes have each length, and their symbols in order */

/**
 * @param {number[]} lengths by symbol, 0 for none
 * @param {number} sparse the length up to which codes may be left unused; others refuse such a text, and so do we
 * @returns {Code}
 */
function codeOf(lengths, sparse) {
  const count = new Uint16Array(MAX_CODE_BITS + 1);
  for (const length of lengths) count[length]++;
  count[0] = 0;
  let left = 1;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    left = 2 * left - count[bits];
    if (left < 0) throw new WireError("a deflated text has more codes than there are");
  }
  if (left > 0 && Math.max(...lengths) > sparse) throw new WireError("a deflated text leaves codes unused");
  const symbol = lengths.map((_, s) => s).filter((s) => lengths[s] > 0);
  symbol.sort((a, b) => lengths[a] - lengths[b] || a - b);
  return { count, symbol };
}

/** @type {(from: number, to: number, length: number) => number[]} */
const run = (from, to, length) => new Array(to - from).fill(length);
const FIXED = [codeOf([...run(0, 144, 8), ...run(144, 256, 9), ...run(256, 280, 7), ...run(280, 288, 8)], 0), codeOf(run(0, 30, 5), 5)];

class Inflater {
  #data;
  #at = 0;
  #out;
  #n = 0;

  /**
   * @param {Uint8Array} data
   * @param {number} most bytes that may come out
   */
  constructor(data, most) {
    this.#data = data;
    this.#out = new Uint8Array(most);
  }

  /** @param {number} n */
  #bits(n) {
    let value = 0;
    if (this.#at + n > 8 * this.#data.length) throw new WireError("a deflated text ends early");
    for (let i = 0; i < n; i++, this.#at++) value |= ((this.#data[this.#at >> 3] >> (this.#at & 7)) & 1) << i;
    return value;
  }

  /** @param {Code} code */
  #symbol({ count, symbol }) {
    let value = 0;
    let first = 0;
    let index = 0;
    for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
      value |= this.#bits(1);
      if (value - count[bits] < first) return symbol[index + value - first];
      index += count[bits];
      first = (first + count[bits]) << 1;
      value <<= 1;
    }
    throw new WireError("a deflated text has a code that there isn't");
  }

  /** @param {number} byte */
  #put(byte) {
    if (this.#n === this.#out.length) throw new WireError(`a deflated text is longer than ${this.#n} bytes`);
    this.#out[this.#n++] = byte;
  }

  #stored() {
    this.#at = (this.#at + 7) & ~7;
    const n = this.#bits(16);
    if (this.#bits(16) !== (~n & 0xffff)) throw new WireError("a deflated text is malformed");
    for (let i = 0; i < n; i++) this.#put(this.#bits(8));
  }

  #dynamic() {
    const nLiterals = this.#bits(5) + 257;
    const nDistances = this.#bits(5) + 1;
    const nCodes = this.#bits(4) + 4;
    if (nLiterals > 286 || nDistances > 30) throw new WireError("a deflated text is malformed");
    const codeLengths = run(0, 19, 0);
    for (let i = 0; i < nCodes; i++) codeLengths[CODE_ORDER[i]] = this.#bits(3);
    const code = codeOf(codeLengths, 0);
    /** @type {number[]} */
    const lengths = [];
    while (lengths.length < nLiterals + nDistances) {
      const s = this.#symbol(code);
      if (s < 16) lengths.push(s);
      else {
        if (s === 16 && lengths.length === 0) throw new WireError("a deflated text is malformed");
        const length = s === 16 ? lengths[lengths.length - 1] : 0;
        const times = s === 16 ? 3 + this.#bits(2) : s === 17 ? 3 + this.#bits(3) : 11 + this.#bits(7);
        lengths.push(...run(0, times, length));
      }
    }
    if (lengths.length > nLiterals + nDistances || lengths[256] === 0) throw new WireError("a deflated text is malformed");
    this.#codes(codeOf(lengths.slice(0, nLiterals), 1), codeOf(lengths.slice(nLiterals), 1));
  }

  /**
   * @param {Code} literals
   * @param {Code} distances
   */
  #codes(literals, distances) {
    for (let s = this.#symbol(literals); s !== 256; s = this.#symbol(literals)) {
      if (s < 256) {
        this.#put(s);
        continue;
      }
      const length = LENGTH_BASE[s - 257] + this.#bits(LENGTH_EXTRA[s - 257] ?? 0);
      const d = this.#symbol(distances);
      const distance = DISTANCE_BASE[d] + this.#bits(d < 4 ? 0 : (d >> 1) - 1);
      if (!(distance <= this.#n) || !(length > 0)) throw new WireError("a deflated text refers to what isn't there");
      for (let i = 0; i < length; i++) this.#put(this.#out[this.#n - distance]);
    }
  }

  /** All of it, which must be all there is. */
  finish() {
    let last = 0;
    while (!last) {
      last = this.#bits(1);
      const type = this.#bits(2);
      if (type === 0) this.#stored();
      else if (type === 1) this.#codes(FIXED[0], FIXED[1]);
      else if (type === 2) this.#dynamic();
      else throw new WireError("a deflated text is malformed");
    }
    if ((this.#at + 7) >> 3 !== this.#data.length) throw new WireError("a deflated text goes on behind its end");
    return this.#out.slice(0, this.#n);
  }
}

/**
 * @param {Uint8Array} data
 * @param {number} most bytes that may come out
 * @throws {WireError} when it isn't deflated, goes on, or more would come out
 */
export function inflate(data, most) {
  return new Inflater(data, most).finish();
}
