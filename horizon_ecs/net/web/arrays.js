/**
 * Typed arrays that grow.
 */

/**
 * A longer array with the same beginning.
 * @template {Float64Array | Int32Array | Uint32Array | Uint8Array} T
 * @param {T} array
 * @param {number} length
 * @returns {T}
 */
export function enlarged(array, length) {
  const larger = /** @type {T} */ (new /** @type {any} */ (array.constructor)(length));
  larger.set(array);
  return larger;
}
