import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { encodeEvent, Replica, WireError } from "../../horizon_ecs/net/web/horizon.js";
import { fieldSharesOf, sharesOf } from "../../horizon_ecs/net/web/shares.js";

const folder = new URL("../golden/", import.meta.url);
const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".json")).sort() : [];
const streams = names.map((name) => {
  const golden = JSON.parse(readFileSync(new URL(name, folder), "utf8"), (key, value) => (key === "radius" && value === "inf" ? Infinity : value));
  return { name, ...golden, frames: golden.frames.map((frame) => new Uint8Array(Buffer.from(frame, "hex"))) };
});

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** What JSON has as text. */
const NOT_FINITE = { nan: NaN, inf: Infinity, "-inf": -Infinity };

/** Flips per frame in the mutation test. */
const N_MUTANTS = 24;

function tableOf(replica) {
  const table = {};
  for (const [handle, { mask, q }] of replica.toMap()) table[handle] = { mask, q };
  return table;
}

/** What was told besides fields, as `spoken` in make_golden.py has it. */
function spoken(replica) {
  const layout = Object.fromEntries((replica.schema.messages ?? []).map((message) => [message.name, message.fields]));
  const events = replica.messages.map(({ name, handle, values }) => [name, String(handle), hexOf(layout[name], values)]);
  const names = new Set(replica.schema.kinds.flatMap((kind) => (kind.texts ?? []).map((t) => `${t.component}.${t.field}`)));
  const texts = [];
  for (const name of [...names].sort()) {
    replica.texts(name).forEach((text, i) => {
      if (text !== null) texts.push([String(replica.handle(i)), name, typeof text === "string" ? text : Buffer.from(text).toString("hex")]);
    });
  }
  texts.sort(([a, m], [b, n]) => (BigInt(a) < BigInt(b) ? -1 : a !== b ? 1 : m < n ? -1 : 1));
  const hash = createHash("sha256").update(JSON.stringify(texts)).digest("hex");
  return events.length > 0 || texts.length > 0 ? { events, texts: hash } : {};
}

/** A record's bytes again, as an event that a client sends is encoded. */
function hexOf(fields, values) {
  return Buffer.from(encodeEvent({ id: 1, name: "", fields }, [values]).subarray(1)).toString("hex");
}

test("there are golden streams", { skip: names.length === 0 && "none in tests/golden" }, () => assert.ok(streams.length > 0));

for (const { name, schema, phase, frames, tables, values, told } of streams) {
  test(`${name}: what each channel and field takes adds up to the bytes`, () => {
    const replica = new Replica(schema, { phase });
    const half = frames.length >> 1;
    frames.forEach((frame, i) => {
      replica.spent.watchFields(i >= half);
      const [told, blocks] = [sum(replica.spent.toldByChannel), sum(replica.spent.channels)];
      const fields = sum(replica.spent.byField.map(({ bits }) => bits));
      replica.apply(frame);
      const { spent } = replica;
      const [ofBlocks, ofFields] = [sum(spent.channels) - blocks, sum(spent.byField.map(({ bits }) => bits)) - fields];
      for (const shares of [sharesOf(replica), fieldSharesOf(replica)]) {
        assert.equal(sum(shares.map(({ bits }) => bits)), 8 * replica.counters.bytes, `frame ${i}`);
      }
      assert.ok(ofFields <= ofBlocks, `frame ${i}`);
      if (replica.reset && i >= half) assert.equal(ofFields, ofBlocks, "absolute records are nothing but numbers");
      if (sum(spent.toldByChannel) === told) assert.equal(ofBlocks, 0, `frame ${i}`);
    });
    const last = replica.spent.byField;
    assert.ok(last.some(({ bits }) => bits > 0));
    for (const { kind, channel, bits } of last) {
      const { channels } = schema.kinds.find((k) => k.name === kind && k.channels[channel] !== null) ?? { channels: [] };
      assert.ok(bits === 0 || channels[channel], `${kind} has no channel ${channel}`);
    }
  });

  test(`${name}: after every frame the table is the server's`, () => {
    const replica = new Replica(schema, { phase });
    frames.forEach((frame, i) => {
      replica.apply(frame);
      assert.deepEqual(tableOf(replica), tables[i], `frame ${i}`);
      assert.deepEqual(spoken(replica), told[i], `frame ${i}`);
      assert.equal(replica.spent.total, 8 * replica.counters.bytes, `frame ${i}`);
    });
    for (let i = 0; i < replica.n; i++) {
      for (const [component, fields] of Object.entries(values[String(replica.handle(i))])) {
        for (const [field, value] of Object.entries(fields)) {
          const number = typeof value === "string" ? NOT_FINITE[value] : value;
          assert.equal(replica.read(i, component, field), number, `${component}.${field}`);
        }
      }
    }
  });

  test(`${name}: truncated frames are refused`, () => {
    frames.slice(0, 40).forEach((frame, i) => {
      for (const length of [0, 1, frame.length >> 1, frame.length - 1]) {
        assert.throws(() => catchUp(schema, phase, frames, i).apply(frame.subarray(0, length)), WireError);
      }
    });
  });

  test(`${name}: flipped bits are refused or decoded within bounds`, () => {
    let refused = 0;
    const random = generator(1);
    frames.slice(0, 60).forEach((frame, i) => {
      for (let m = 0; m < N_MUTANTS; m++) {
        const replica = catchUp(schema, phase, frames, i);
        const mutant = frame.slice();
        const flips = 1 + (random() % 3);
        for (let f = 0; f < flips; f++) mutant[random() % mutant.length] ^= 1 << (random() % 8);
        try {
          replica.apply(mutant);
        } catch (error) {
          assert.ok(error instanceof WireError, error.stack);
          refused++;
        }
        assert.ok(replica.n <= schema.max_followed && replica.capacity <= Math.max(1024, schema.max_followed));
      }
    });
    assert.ok(refused > 0);
  });
}

/** A replica that has applied the first `n` frames from the last reset frame among them on. */
function catchUp(schema, phase, frames, n) {
  const replica = new Replica(schema, { phase });
  let from = n;
  while (from > 0 && !(frames[from - 1][0] & 1)) from--;
  for (let i = Math.max(0, from - 1); i < n; i++) replica.apply(frames[i]);
  return replica;
}

/** A xorshift, so that every run makes the same mutants. */
function generator(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
