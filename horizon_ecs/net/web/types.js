/**
 * NumPy's types of numbers, as records of events and messages have them: little-endian, without gaps.
 */

/** @typedef {number | bigint | boolean} Value */
/** @typedef {{width: number, get: (view: DataView, at: number) => Value, set: (view: DataView, at: number, value: any) => void}} Type */

/** @type {Record<string, Type>} by NumPy's name; `width` in bytes */
export const TYPES = {
  b1: { width: 1, get: (view, at) => view.getUint8(at) !== 0, set: (view, at, value) => view.setUint8(at, value ? 1 : 0) },
  i1: { width: 1, get: (view, at) => view.getInt8(at), set: (view, at, value) => view.setInt8(at, Number(value)) },
  u1: { width: 1, get: (view, at) => view.getUint8(at), set: (view, at, value) => view.setUint8(at, Number(value)) },
  i2: { width: 2, get: (view, at) => view.getInt16(at, true), set: (view, at, value) => view.setInt16(at, Number(value), true) },
  u2: { width: 2, get: (view, at) => view.getUint16(at, true), set: (view, at, value) => view.setUint16(at, Number(value), true) },
  i4: { width: 4, get: (view, at) => view.getInt32(at, true), set: (view, at, value) => view.setInt32(at, Number(value), true) },
  u4: { width: 4, get: (view, at) => view.getUint32(at, true), set: (view, at, value) => view.setUint32(at, Number(value), true) },
  i8: { width: 8, get: (view, at) => view.getBigInt64(at, true), set: (view, at, value) => view.setBigInt64(at, BigInt(value), true) },
  u8: { width: 8, get: (view, at) => view.getBigUint64(at, true), set: (view, at, value) => view.setBigUint64(at, BigInt(value), true) },
  f4: { width: 4, get: (view, at) => view.getFloat32(at, true), set: (view, at, value) => view.setFloat32(at, Number(value), true) },
  f8: { width: 8, get: (view, at) => view.getFloat64(at, true), set: (view, at, value) => view.setFloat64(at, Number(value), true) },
};
