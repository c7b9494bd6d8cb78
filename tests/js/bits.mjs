/** A plain writer of the wire's codes, to build frames by hand: the twin of bits.js. */

export class BitWriter {
  #bits = [];

  put(value, n) {
    for (let i = 0; i < n; i++) this.#bits.push(Number((BigInt(value) >> BigInt(i)) & 1n));
    return this;
  }

  gamma(value) {
    const n = (value + 1).toString(2).length - 1;
    return this.put(0, n).put(1, 1).put(value + 1 - 2 ** n, n);
  }

  wide(value) {
    const n = value === 0 ? 0 : value.toString(2).length;
    return this.put(n, 6).put(n > 1 ? value - 2 ** (n - 1) : 0, Math.max(0, n - 1));
  }

  rice(value, k) {
    const quotient = Math.floor(value / 2 ** k);
    if (quotient > 15) return this.put(0xffff, 16).put(value, 32);
    return this.put(2 ** quotient - 1, quotient + 1).put(value % 2 ** k, k);
  }

  bytes() {
    const out = new Uint8Array(Math.ceil(this.#bits.length / 8));
    this.#bits.forEach((bit, i) => (out[i >> 3] |= bit << (i & 7)));
    return out;
  }
}

/** `zz` of wire.md as uint32. */
export function zigzag(value) {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

/** A state frame: flags, tick (absolute in a reset frame, else the difference) and the stream. */
export function frame(flags, tick, writer = new BitWriter()) {
  const head = flags & 1 ? [tick & 255, (tick >> 8) & 255, (tick >> 16) & 255, tick >>> 24] : [tick];
  return Uint8Array.from([flags, ...head, ...writer.bytes()]);
}
