/**
 * What the integers of a table stand for (docs/wire.md, "codec"). In float64 and in this order, so that every client has the same value
 * bit for bit.
 */

/** To read the bits of an integer as a float. */
const pun = new DataView(new ArrayBuffer(4));

const TURN = 2 * Math.PI;

/** @typedef {{base: number, index: number, offset: number, codec: string, type: string, part?: import("./schema.js").Part}} Place */

/**
 * @param {Int32Array} q integers of the table
 * @param {number} at where the entry's begin
 * @param {Place} place
 * @param {number} scale of the channel that they came on
 * @returns {number}
 */
export function valueOf(q, at, place, scale) {
  const mine = q[at + place.offset];
  switch (place.codec) {
    case "quantised":
      return mine * scale;
    case "angle": {
      const turns = mine * scale;
      return (turns - Math.floor(turns + 0.5)) * TURN;
    }
    case "rotation":
      return componentOf(q, at + place.base, place.index, scale);
    case "packed": {
      const { offset, width, low } = /** @type {import("./schema.js").Part} */ (place.part);
      return (width === 32 ? mine >>> 0 : (mine >>> offset) & ((1 << width) - 1)) + Number(low);
    }
    case "bits":
      if (place.type === "f2") return halfOf(mine);
      pun.setInt32(0, mine);
      return pun.getFloat32(0);
    default:
      return place.type.startsWith("u") ? mine >>> 0 : mine;
  }
}

/**
 * x, y, z or w of a rotation, by number.
 * @param {Int32Array} q
 * @param {number} at the first of its four integers
 * @param {number} number
 * @param {number} scale
 */
function componentOf(q, at, number, scale) {
  const leftOut = ((q[at + 3] & 3) + 3) & 3;
  if (number !== leftOut) return q[at + (number === 3 ? leftOut : number)] * scale;
  const a = q[at] * scale;
  const b = q[at + 1] * scale;
  const c = q[at + 2] * scale;
  return Math.sqrt(Math.max(0, 1 - (a * a + b * b + c * c)));
}

/**
 * A float of two bytes: a sign, five bits of exponent, ten of fraction.
 * @param {number} bits
 */
function halfOf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
