/**
 * The bit stream of a state frame, read with every bound checked.
 *
 * The codes are those of docs/wire.md. Frames are copied into one buffer of whole words with a zeroed tail: peeking past the end
 * then is harmless, and one comparison a code is enough to refuse what ends early.
 */

import { WireError } from "./msgpack.js";

/** A state frame is never longer: 64 bits for each of 1,048,576 entries twice over. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** Bytes behind the stream that a peek may touch. */
const TAIL_BYTES = 8;

/** Words are viewed in the host's order; every browser's host is little-endian, and so is the wire. */
if (new Uint8Array(new Uint32Array([1]).buffer)[0] !== 1) throw new Error("horizon needs a little-endian host");

/**
 * How many bits any number below `count` needs.
 * @param {number} count
 */
export function indexBits(count) {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1);
}

/**
 * Undo `zz(v) = (v << 1) ^ (v >> 31)`.
 * @param {number} value uint32
 * @returns {number} int32
 */
export function unzigzag(value) {
  return (value >>> 1) ^ -(value & 1);
}

export class BitReader {
  constructor() {
    this.words = new Uint32Array(1024);
    this.bytes = new Uint8Array(this.words.buffer);
    /** Bits read. */
    this.position = 0;
    /** Bits there are. */
    this.end = 0;
  }

  /**
   * Take `frame[start:]` as the stream.
   * @param {Uint8Array} frame
   * @param {number} start in bytes
   */
  load(frame, start) {
    const n = frame.length;
    if (n > MAX_FRAME_BYTES) throw new WireError(`frame of ${n} bytes, at most ${MAX_FRAME_BYTES} are allowed`);
    if (n + TAIL_BYTES > this.bytes.length) {
      this.words = new Uint32Array((2 * (n + TAIL_BYTES)) >>> 2);
      this.bytes = new Uint8Array(this.words.buffer);
    }
    this.bytes.set(frame);
    this.bytes.fill(0, n, n + TAIL_BYTES);
    this.position = 8 * start;
    this.end = 8 * n;
  }

  /** The next 32 bits as int32, zeros behind the end. */
  peek() {
    const word = this.position >>> 5;
    const shift = this.position & 31;
    const low = this.words[word] >>> shift;
    return shift === 0 ? low | 0 : low | (this.words[word + 1] << (32 - shift));
  }

  /**
   * Step over `n` bits.
   * @param {number} n
   */
  advance(n) {
    const position = this.position + n;
    if (position > this.end) throw new WireError(`frame ends at bit ${this.end} within a code`);
    this.position = position;
  }

  /**
   * `b(n)`: the next `n` (0–32) bits as uint32.
   * @param {number} n
   */
  take(n) {
    const bits = this.peek();
    this.advance(n);
    return n === 32 ? bits >>> 0 : bits & ((1 << n) - 1);
  }

  /** Elias gamma of v + 1. */
  gamma() {
    const bits = this.peek();
    if (bits === 0) throw new WireError("gamma code longer than 63 bits");
    const n = 31 - Math.clz32(bits & -bits);
    this.advance(n + 1);
    return 2 ** n + this.take(n) - 1;
  }

  /** A number of unknown size: its bit length, then what is below its leading one. */
  wide() {
    const n = this.take(6);
    if (n > 32) throw new WireError(`number of ${n} bits, at most 32 are allowed`);
    if (n < 2) return n;
    return ((1 << (n - 1)) | this.take(n - 1)) >>> 0;
  }

  /**
   * Rice code with parameter `k`: uint32.
   * @param {number} k 0–31
   */
  rice(k) {
    const zeros = ~this.peek();
    if ((zeros & 0xffff) === 0) {
      this.advance(16);
      return this.take(32);
    }
    const ones = 31 - Math.clz32(zeros & -zeros);
    this.advance(ones + 1);
    if (ones < 8 && k <= 28) return ((ones << k) | this.take(k)) >>> 0;
    // Behind eight ones the quotient goes on in coarser steps; floats hold what a shift might not.
    const base = ones < 8 ? ones * 2 ** k : 8 * 2 ** k + (ones - 8) * 2 ** (k + 4);
    const value = base > 0xffff_ffff ? base : base + this.take(ones < 8 ? k : k + 4);
    if (value > 0xffff_ffff) throw new WireError(`Rice code of ${value} takes more than 32 bits`);
    return value;
  }

  /**
   * Refuse a stream that goes on, or that is padded with other than zeros.
   * @param {boolean} [more] whether bytes may follow
   */
  finish(more = false) {
    const left = more ? -this.position & 7 : this.end - this.position;
    if (left > 7) throw new WireError(`frame goes on for ${left} bits after its last block`);
    if (this.take(left) !== 0) throw new WireError("frame is padded with other than zeros");
  }
}
