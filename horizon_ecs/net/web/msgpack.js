/**
 * MessagePack, as much of it as the wire uses: nil, booleans, numbers, text, bytes, arrays and maps with text keys.
 *
 * Integers beyond 2^53 are BigInt in both directions, because an entity's handle takes all 64 bits. Depth and sizes are bounded
 * before anything is allocated, so that a length field cannot ask for more memory than the message has bytes.
 */

/** What is not a well-formed message: state frame, msgpack value or schema. */
export class WireError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "WireError";
  }
}

/** Containers within containers; the schema takes 7. */
export const MAX_DEPTH = 16;

/** Bytes of one message; a schema of 255 kinds takes less than a tenth. */
export const MAX_BYTES = 4 * 1024 * 1024;

const text = new TextDecoder("utf-8", { fatal: true });
const utf8 = new TextEncoder();

/**
 * Decode one value that takes all of `bytes`.
 *
 * @param {Uint8Array} bytes
 * @returns {any} maps become plain objects, bin becomes Uint8Array (a copy), integers beyond 2^53 become BigInt
 * @throws {WireError} when malformed, truncated, followed by more bytes, too deep, or of an extension type
 */
export function decode(bytes) {
  if (bytes.length > MAX_BYTES) throw new WireError(`message of ${bytes.length} bytes, at most ${MAX_BYTES} are allowed`);
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new WireError(`${bytes.length - reader.at} bytes after the value`);
  return value;
}

class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  /**
   * Step over the next `n` bytes and return where they begin.
   * @param {number} n
   */
  skip(n) {
    const at = this.at;
    if (at + n > this.bytes.length) throw new WireError(`message ends at byte ${this.bytes.length} within a value`);
    this.at = at + n;
    return at;
  }

  /**
   * @param {number} depth
   * @returns {any}
   */
  value(depth) {
    const tag = this.bytes[this.skip(1)];
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.map(tag & 15, depth);
    if (tag < 0xa0) return this.array(tag & 15, depth);
    if (tag < 0xc0) return this.text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    if (tag >= 0xca && tag <= 0xd3) return this.number(tag);
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return this.bin(this.length(tag - 0xc4));
      case 0xd9: case 0xda: case 0xdb: return this.text(this.length(tag - 0xd9));
      case 0xdc: case 0xdd: return this.array(this.length(tag - 0xdb), depth);
      case 0xde: case 0xdf: return this.map(this.length(tag - 0xdd), depth);
    }
    throw new WireError(`type 0x${tag.toString(16)} is not part of the wire`);
  }

  /**
   * A length of 1, 2 or 4 bytes, big-endian as everything in msgpack.
   * @param {number} log2 of its bytes
   */
  length(log2) {
    const at = this.skip(1 << log2);
    return log2 === 0 ? this.view.getUint8(at) : log2 === 1 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  /**
   * @param {number} tag 0xca–0xd3
   * @returns {number | bigint}
   */
  number(tag) {
    const view = this.view;
    switch (tag) {
      case 0xca: return view.getFloat32(this.skip(4));
      case 0xcb: return view.getFloat64(this.skip(8));
      case 0xcc: return view.getUint8(this.skip(1));
      case 0xcd: return view.getUint16(this.skip(2));
      case 0xce: return view.getUint32(this.skip(4));
      case 0xcf: return narrow(view.getBigUint64(this.skip(8)));
      case 0xd0: return view.getInt8(this.skip(1));
      case 0xd1: return view.getInt16(this.skip(2));
      case 0xd2: return view.getInt32(this.skip(4));
      default: return narrow(view.getBigInt64(this.skip(8)));
    }
  }

  /** @param {number} n */
  text(n) {
    const at = this.skip(n);
    try {
      return text.decode(this.bytes.subarray(at, at + n));
    } catch {
      throw new WireError(`text at byte ${at} is not UTF-8`);
    }
  }

  /** @param {number} n */
  bin(n) {
    const at = this.skip(n);
    return this.bytes.slice(at, at + n);
  }

  /**
   * Refuse a container that is too deep, or that claims more items than the message has bytes left.
   * @param {number} n
   * @param {number} depth
   * @param {number} itemBytes the least that an item takes
   */
  check(n, depth, itemBytes) {
    if (depth >= MAX_DEPTH) throw new WireError(`nested deeper than ${MAX_DEPTH}`);
    const left = this.bytes.length - this.at;
    if (n * itemBytes > left) throw new WireError(`container of ${n} items with ${left} bytes left`);
  }

  /**
   * @param {number} n
   * @param {number} depth
   */
  array(n, depth) {
    this.check(n, depth, 1);
    const items = [];
    for (let i = 0; i < n; i++) items.push(this.value(depth + 1));
    return items;
  }

  /**
   * @param {number} n
   * @param {number} depth
   */
  map(n, depth) {
    this.check(n, depth, 2);
    /** @type {Record<string, any>} */
    const items = {};
    for (let i = 0; i < n; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== "string") throw new WireError(`a map's key is ${typeof key}, must be text`);
      // Plain assignment to "__proto__" would set the prototype instead of a property.
      Object.defineProperty(items, key, { value: this.value(depth + 1), enumerable: true, writable: true, configurable: true });
    }
    return items;
  }
}

/** @param {bigint} value */
function narrow(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/**
 * Encode a value.
 *
 * @param {any} value null, undefined (as nil), boolean, number, BigInt within 64 bits, string, Uint8Array, array, plain object
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {WireError} when a value has no encoding, is too deep or takes too many bytes
 */
export function encode(value) {
  const writer = new Writer();
  writer.value(value, 0);
  return writer.bytes.slice(0, writer.at);
}

class Writer {
  constructor() {
    this.bytes = new Uint8Array(256);
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
  }

  /**
   * Make room for `n` bytes and return where they go. To be called before `bytes` or `view` is looked at, as both may be replaced.
   * @param {number} n
   */
  room(n) {
    const at = this.at;
    this.at = at + n;
    if (this.at > MAX_BYTES) throw new WireError(`message longer than ${MAX_BYTES} bytes`);
    if (this.at > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.at, 2 * this.bytes.length));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }

  /** @param {number} value */
  byte(value) {
    const at = this.room(1);
    this.bytes[at] = value;
  }

  /** @param {Uint8Array} bytes */
  append(bytes) {
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
  }

  /**
   * @param {any} value
   * @param {number} depth
   */
  value(value, depth) {
    if (value === null || value === undefined) this.byte(0xc0);
    else if (typeof value === "boolean") this.byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "bigint") this.bigint(value);
    else if (typeof value === "string") this.text(value);
    else if (value instanceof Uint8Array) this.bin(value);
    else if (depth >= MAX_DEPTH) throw new WireError(`nested deeper than ${MAX_DEPTH}`);
    else if (Array.isArray(value)) {
      this.head(value.length, 0x90, 16, [0, 0xdc, 0xdd]);
      for (const item of value) this.value(item, depth + 1);
    } else if (typeof value === "object") {
      const entries = Object.entries(value);
      this.head(entries.length, 0x80, 16, [0, 0xde, 0xdf]);
      for (const [key, item] of entries) {
        this.text(key);
        this.value(item, depth + 1);
      }
    } else throw new WireError(`${typeof value} has no encoding`);
  }

  /**
   * The shortest head for a length: inside the tag below `short`, else behind it in 1, 2 or 4 bytes (tag 0: no such form).
   * @param {number} n
   * @param {number} fixed
   * @param {number} short
   * @param {number[]} tags
   */
  head(n, fixed, short, tags) {
    if (n < short) this.byte(fixed | n);
    else if (n < 256 && tags[0] !== 0) {
      this.byte(tags[0]);
      this.byte(n);
    } else if (n < 65_536) {
      this.byte(tags[1]);
      const at = this.room(2);
      this.view.setUint16(at, n);
    } else {
      this.byte(tags[2]);
      const at = this.room(4);
      this.view.setUint32(at, n);
    }
  }

  /** @param {string} value */
  text(value) {
    const bytes = utf8.encode(value);
    this.head(bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb]);
    this.append(bytes);
  }

  /** @param {Uint8Array} bytes */
  bin(bytes) {
    this.head(bytes.length, 0, 0, [0xc4, 0xc5, 0xc6]);
    this.append(bytes);
  }

  /** @param {number} value */
  number(value) {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      if (value >= 0 ? value < 0x80 : value >= -32) this.byte(value & 0xff);
      else this.integer(value);
      return;
    }
    this.byte(0xcb);
    this.float64(value);
  }

  /** @param {number} value */
  float64(value) {
    const at = this.room(8);
    this.view.setFloat64(at, value);
  }

  /** @param {number} value a safe integer beyond the one-byte forms */
  integer(value) {
    if (value >= 0x1_0000_0000 || value < -0x8000_0000) {
      this.bigint(BigInt(value));
      return;
    }
    const log2 = value >= 0 ? (value < 256 ? 0 : value < 65_536 ? 1 : 2) : value >= -128 ? 0 : value >= -32_768 ? 1 : 2;
    this.byte((value >= 0 ? 0xcc : 0xd0) + log2);
    const at = this.room(1 << log2);
    // Two's complement: the unsigned setters store the low bits of a negative number as they must be.
    if (log2 === 0) this.view.setUint8(at, value);
    else if (log2 === 1) this.view.setUint16(at, value);
    else this.view.setUint32(at, value);
  }

  /** @param {bigint} value */
  bigint(value) {
    if (value > 0xffff_ffff_ffff_ffffn || value < -0x8000_0000_0000_0000n) throw new WireError(`${value} takes more than 64 bits`);
    this.byte(value >= 0n ? 0xcf : 0xd3);
    const at = this.room(8);
    this.view.setBigUint64(at, BigInt.asUintN(64, value));
  }
}
