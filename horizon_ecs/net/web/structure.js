/**
 * The structure of a state frame: who left, who is followed on other channels or has another profile, who entered (docs/wire.md).
 */

import { indexBits } from "./bits.js";
import { WireError } from "./msgpack.js";

/** @typedef {import("./table.js").Table} Table */
/** @typedef {import("./bits.js").BitReader} BitReader */

/**
 * Read it into a table.
 * @param {Table} table
 * @param {BitReader} reader
 * @param {boolean} reset whether the list begins anew
 * @throws {WireError} when malformed
 */
export function readStructure(table, reader, reset) {
  if (reset) table.clear();
  else {
    readLeaves(table, reader);
    readMoves(table, reader);
  }
  readEnters(table, reader);
  if (reset) table.compareWithRemembered();
}

/**
 * @param {Table} table
 * @param {BitReader} reader
 */
function readLeaves(table, reader) {
  const leaves = reader.gamma();
  if (leaves > table.n) throw new WireError(`${leaves} leave a list of ${table.n}`);
  const width = indexBits(table.n);
  let kept = 0;
  let next = 0;
  for (let l = 0; l <= leaves; l++) {
    const index = l < leaves ? reader.take(width) : table.n;
    if (index < next || (l < leaves && index >= table.n)) throw new WireError(`index ${index} leaves a list of ${table.n} out of order`);
    for (; next < index; next++) table.moveEntry(next, kept++);
    if (l === leaves) break;
    table.leftSlot[l] = table.slot[index];
    table.leftGeneration[l] = table.generation[index];
    next = index + 1;
  }
  table.closeUp(kept, leaves);
}

/**
 * @param {Table} table
 * @param {BitReader} reader
 */
function readMoves(table, reader) {
  const moves = reader.gamma();
  if (moves > table.n) throw new WireError(`${moves} move in a list of ${table.n}`);
  const width = indexBits(table.n);
  let last = -1;
  for (let m = 0; m < moves; m++) {
    const i = reader.take(width);
    if (i <= last || i >= table.n) throw new WireError(`index ${i} moves in a list of ${table.n} out of order`);
    last = i;
    const { firstProfile, nProfiles } = table.layout;
    const before = table.kind[i];
    const number = reader.take(indexBits(nProfiles[before]));
    if (number >= nProfiles[before]) throw new WireError(`profile ${number} of ${nProfiles[before]}`);
    const kind = firstProfile[before] + number;
    const mask = readMask(table, reader, kind);
    if (kind === before) table.setMask(i, mask);
    else table.setProfile(i, kind, mask);
  }
}

/**
 * @param {Table} table
 * @param {BitReader} reader
 * @param {number} kind
 */
function readMask(table, reader, kind) {
  const mask = reader.take(table.layout.nChannels);
  if (mask === 0 || mask & ~table.layout.channels[kind]) {
    throw new WireError(`mask ${mask} of a kind with channels ${table.layout.channels[kind]}`);
  }
  return mask;
}

/**
 * @param {Table} table
 * @param {BitReader} reader
 */
function readEnters(table, reader) {
  const { layout, schema } = table;
  const enters = reader.gamma();
  if (table.n + enters > schema.max_followed) throw new WireError(`list of ${table.n + enters}, at most ${schema.max_followed} are followed`);
  const kindBits = indexBits(layout.nKinds);
  const slotBits = indexBits(schema.n_slots);
  for (let e = 0; e < enters; e++) {
    const k = reader.take(kindBits);
    if (k >= layout.nKinds) throw new WireError(`kind ${k} of ${layout.nKinds}`);
    const slot = reader.take(slotBits);
    if (slot >= schema.n_slots) throw new WireError(`slot ${slot} of ${schema.n_slots}`);
    const generation = reader.gamma() + 1;
    table.append(k, slot, generation, readMask(table, reader, k));
  }
  table.nEntered = enters;
}
