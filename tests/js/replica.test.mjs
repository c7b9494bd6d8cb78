import assert from "node:assert/strict";
import { test } from "node:test";
import { Replica, WireError } from "../../horizon_ecs/net/web/horizon.js";
import { MAX_FRAME_BYTES } from "../../horizon_ecs/net/web/bits.js";
import { BitWriter, frame, zigzag } from "./bits.mjs";

const RESET = 7; // flags: reset, parameters, structure
const PARAMETERS = 2;
const STRUCTURE = 4;

/** Two kinds; Mover: x by linear prediction on channels 0 and 1, hp by previous value on 1; Blob: raw float bits on 0. */
const SCHEMA = {
  n_slots: 100, n_channels: 2, max_followed: 40,
  kinds: [
    {
      name: "Mover", position: "Position", channels: [{ period: 1, radius: 10, frequency: 60 }, { period: 2, radius: 20, frequency: 30 }],
      groups: [
        { component: "Position", channels: 3, fields: [{ name: "x", type: "f4", codec: "quantised", params: [[2, 0.25], [2, 0.5]] }] },
        { component: "Health", channels: 2, fields: [{ name: "hp", type: "u4", codec: "integer", params: [null, [1, 1]] }] },
      ],
    },
    {
      name: "Blob", position: "Place", channels: [{ period: 1, radius: 10, frequency: 60 }, null],
      groups: [{ component: "Place", channels: 1, fields: [{ name: "x", type: "f4", codec: "bits", params: [[0, 1], null] }] }],
    },
  ],
};
const N_PARAMETERS = 6;
const K = 2;

/** The beginning of a reset frame's stream: all parameters, then `entities` as [kind, slot, generation, mask]. */
function opening(entities) {
  const bits = new BitWriter();
  for (let p = 0; p < N_PARAMETERS; p++) bits.put(K, 5);
  return enter(bits, entities);
}

function enter(bits, entities) {
  bits.gamma(entities.length);
  for (const [kind, slot, generation, mask] of entities) bits.put(kind, 1).put(slot, 7).gamma(generation - 1).put(mask, 2);
  return bits;
}

/** A replica at tick 10 with a Mover (slot 5, on both channels), a Mover (slot 6, channel 1 only) and a Blob (slot 7). */
function started() {
  const replica = new Replica(SCHEMA, { phase: 0 });
  const bits = opening([[0, 5, 1, 3], [0, 6, 2, 2], [1, 7, 1, 1]]);
  bits.wide(zigzag(100)).wide(zigzag(3)); // channel 0, group 0: slot 5
  bits.wide(0x3f80_0000 * 2); // and the Blob, a kind of its own: 1.0
  bits.wide(zigzag(-40)).wide(zigzag(-1)); // channel 1, group 0: slot 6
  bits.wide(zigzag(77)).wide(zigzag(-7)); // channel 1, group 1: slots 5 and 6, the second against the first
  replica.apply(frame(RESET, 10, bits));
  return replica;
}

const q = (replica, i) => replica.schema.kinds[replica.kind[i]].groups.map((_, j) => [...replica.groupOf(i, j)]);

test("a reset frame fills the table", () => {
  const replica = started();
  assert.equal(replica.tick, 10);
  assert.deepEqual([0, 1, 2].map((i) => q(replica, i)), [[[100], [77]], [[-40], [70]], [[0x3f80_0000]]]);
  assert.equal(replica.handle(1), (2n << 32n) | 6n);
  assert.equal(replica.indexOf((2n << 32n) | 6n), 1);
  assert.equal(replica.indexOf(6n), -1);
  assert.deepEqual([...replica.column("Position", "x", new Float64Array(3))], [25, -20, NaN]);
  assert.deepEqual([...replica.column("Place", "x", new Float64Array(3))], [NaN, NaN, 1]);
  assert.deepEqual([...replica.column("Position", "x")], [25, -20, NaN]);
  assert.throws(() => replica.column("Positon", "x"), /no kind replicates a field Positon.x/);
  const { frames, enters, leaves, resets } = replica.counters;
  assert.deepEqual([frames, enters, leaves, resets], [1, 3, 0, 1]);
});

test("records, predictions and raw values are applied", () => {
  const replica = started();
  // Channel 0: Position of slot 5 by list, then the Blob's; both stand in one block.
  replica.apply(frame(0, 1, new BitWriter().put(3, 2).gamma(1).put(0, 1).rice(zigzag(-2), K)));
  assert.deepEqual(q(replica, 0), [[101], [77]]);
  assert.deepEqual(q(replica, 2), [[0]]); // order 0 without a record: residual 0
  // Tick 12: channel 0 dense; channel 1 nothing for Position, bitmap for Health.
  const bits = new BitWriter().put(1, 2).rice(0, K).rice(zigzag(0x7fff_ffff), K);
  bits.put(0, 2).put(2, 2).put(0, 1).put(1, 1).rice(zigzag(5), K);
  replica.apply(frame(0, 1, bits));
  assert.deepEqual([0, 1, 2].map((i) => q(replica, i)), [[[102], [77]], [[-41], [75]], [[0x7fff_ffff]]]);
});

test("silent ticks step the predictor on the ticks that were due", () => {
  const replica = started();
  // To tick 15: slot 5 is due at 11–14 silently and at 15, slot 6 at 12 and 14.
  replica.apply(frame(0, 5, new BitWriter().put(0, 2)));
  assert.deepEqual(q(replica, 0), [[115], [77]]);
  assert.deepEqual(q(replica, 1), [[-42], [70]]);
});

test("arithmetic wraps modulo 2^32", () => {
  const replica = new Replica(SCHEMA, { phase: 0 });
  replica.apply(frame(RESET, 1, opening([[0, 5, 1, 1]]).wide(zigzag(0x7fff_ffff)).wide(zigzag(1))));
  replica.apply(frame(0, 255, new BitWriter().put(0, 2)));
  assert.equal(replica.q[0], (0x7fff_ffff + 255) | 0);
});

test("leaves close up, moves make stale, enters are appended", () => {
  const replica = started();
  const bits = new BitWriter().gamma(1).put(1, 2); // slot 6 leaves a list of three
  bits.gamma(1).put(0, 1).put(2, 2); // slot 5 goes to channel 1 alone: Position changes its carrier
  enter(bits, [[1, 9, 3, 1]]);
  bits.wide(zigzag(4)); // channel 0: the new Blob's absolute record …
  bits.put(0, 2); // … then nothing for the old one
  replica.apply(frame(STRUCTURE, 1, bits));
  assert.deepEqual([...replica.slot.subarray(0, replica.n)], [5, 7, 9]);
  assert.deepEqual([...replica.previous.subarray(0, 3)], [0, 2, -1]);
  assert.deepEqual([replica.nLeft, replica.leftSlot[0], replica.leftGeneration[0]], [1, 6, 2]);
  assert.equal(replica.stale[0], 1);
  // Stale: in the units of the channel that it came on.
  assert.equal(replica.read(0, "Position", "x"), 25);
  // Tick 12: Position comes absolutely on channel 1, now in its units.
  replica.apply(frame(0, 1, new BitWriter().put(0, 2).wide(zigzag(60)).wide(0).put(0, 2)));
  assert.equal(replica.read(0, "Position", "x"), 30);
  assert.equal(replica.stale[0], 0);
});

test("a later reset frame tells who is new and who is gone", () => {
  const replica = started();
  const bits = opening([[1, 7, 1, 1], [0, 5, 2, 1]]).wide(0).wide(zigzag(1)).wide(0);
  replica.apply(frame(RESET, 50, bits));
  assert.deepEqual([...replica.previous.subarray(0, 2)], [2, -1]);
  assert.equal(replica.nEntered, 1);
  assert.deepEqual([...replica.leftSlot.subarray(0, replica.nLeft)].sort(), [5, 6]);
});

test("changed parameters hold from the frame that brings them", () => {
  const replica = started();
  const bits = new BitWriter().gamma(1).put(0, 3).put(0, 5).put(1, 2).rice(3, 0).rice(0, K);
  replica.apply(frame(PARAMETERS, 1, bits));
  assert.equal(replica.parameters[0], 0);
  assert.deepEqual(q(replica, 0), [[101], [77]]);
});

const due = (bits = new BitWriter()) => bits.put(0, 2); // the one block of tick 11

/** Each breaks one rule of the wire, at tick 11 after `started`. */
const MALFORMED = {
  "empty": Uint8Array.of(),
  "header cut": Uint8Array.of(0),
  "reset header cut": Uint8Array.of(7, 1, 2, 3),
  "unknown flag": frame(8, 1, due()),
  "no tick passed": frame(0, 0, due()),
  "reset without structure": frame(3, 11),
  "ends early": frame(0, 1),
  "goes on": Uint8Array.of(0, 1, 0, 0),
  "padding": frame(0, 1, due().put(1, 1)),
  "too many leaves": frame(STRUCTURE, 1, due(new BitWriter().gamma(4).put(0, 32))),
  "leaf out of range": frame(STRUCTURE, 1, due(new BitWriter().gamma(1).put(3, 2).gamma(0).gamma(0))),
  "leaves not ascending": frame(STRUCTURE, 1, due(new BitWriter().gamma(2).put(1, 2).put(1, 2).gamma(0).gamma(0))),
  "move out of range": frame(STRUCTURE, 1, due(new BitWriter().gamma(0).gamma(1).put(3, 2).put(1, 2).gamma(0))),
  "moves not ascending": frame(STRUCTURE, 1, due(new BitWriter().gamma(0).gamma(2).put(1, 2).put(1, 2).put(0, 2).put(1, 2).gamma(0))),
  "mask without channels": frame(STRUCTURE, 1, due(new BitWriter().gamma(0).gamma(1).put(0, 2).put(0, 2).gamma(0))),
  "mask with a channel that the kind lacks": frame(STRUCTURE, 1, due(new BitWriter().gamma(0).gamma(1).put(2, 2).put(2, 2).gamma(0))),
  "slot out of range": frame(STRUCTURE, 1, due(enter(new BitWriter().gamma(0).gamma(0), [[0, 100, 1, 1]]))),
  "list too long": frame(STRUCTURE, 1, due(enter(new BitWriter().gamma(0).gamma(0), Array(38).fill([1, 0, 1, 1])))),
  "a billion enters": frame(STRUCTURE, 1, new BitWriter().gamma(0).gamma(0).gamma(1e9)),
  "gamma too long": frame(STRUCTURE, 1, new BitWriter().put(0, 64)),
  "parameter out of range": frame(PARAMETERS, 1, due(new BitWriter().gamma(1).put(6, 3).put(1, 5))),
  "too many records": frame(0, 1, new BitWriter().put(3, 2).gamma(3).put(0, 64)),
  "positions not ascending": frame(0, 1, new BitWriter().put(3, 2).gamma(2).put(1, 1).rice(0, K).put(0, 1).rice(0, K)),
  "wide too long": frame(STRUCTURE, 1, enter(new BitWriter().gamma(0).gamma(0), [[1, 9, 1, 1]]).put(33, 6).put(0, 40)),
  "frame too long": new Uint8Array(MAX_FRAME_BYTES + 1).fill(1, 1, 2),
};

for (const [name, bytes] of Object.entries(MALFORMED)) {
  test(`refused: ${name}`, () => {
    const replica = started();
    assert.throws(() => replica.apply(bytes), WireError);
  });
}

test("nothing is taken before a reset frame, nor after a malformed frame until the next", () => {
  assert.throws(() => new Replica(SCHEMA, { phase: 0 }).apply(frame(0, 1, due())), WireError);
  const replica = started();
  assert.throws(() => replica.apply(frame(0, 1)), WireError);
  assert.throws(() => replica.apply(frame(0, 1, due())), WireError);
  replica.apply(frame(RESET, 20, opening([])));
  assert.equal(replica.n, 0);
});

test("a schema beyond the limits is refused", () => {
  const broken = [
    null, {}, { ...SCHEMA, n_channels: 9 }, { ...SCHEMA, max_followed: 2 ** 30 }, { ...SCHEMA, n_slots: 2 ** 40 }, { ...SCHEMA, kinds: Array(256).fill(SCHEMA.kinds[0]) },
    { ...SCHEMA, kinds: [{ ...SCHEMA.kinds[1], channels: [null, null] }] },
    { ...SCHEMA, kinds: [{ ...SCHEMA.kinds[0], groups: Array(9).fill(SCHEMA.kinds[0].groups[0]) }] },
    { ...SCHEMA, kinds: [{ ...SCHEMA.kinds[0], channels: [{ period: 0 }, null] }] },
  ];
  for (const schema of broken) assert.throws(() => new Replica(schema, { phase: 0 }), WireError);
  assert.throws(() => new Replica(SCHEMA, { phase: -1 }), WireError);
});
