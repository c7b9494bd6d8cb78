import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, encode, MAX_BYTES, MAX_DEPTH, WireError } from "../../horizon_ecs/net/web/msgpack.js";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));

const VALUES = [
  null, true, false, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -128, -129, -32_768,
  -32_769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1, 2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n), (7n << 32n) | 5n, 0.5, -1e300, Infinity, -Infinity, "", "ä€𝄞",
  "x".repeat(31), "x".repeat(32), "x".repeat(300), "x".repeat(70_000), [], [1, [2, [3]]], Array(16).fill(0), Array(70_000).fill(1), {},
  { type: "hello", protocol: 2 }, Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i])),
  new Uint8Array(0), Uint8Array.of(1, 2, 3), new Uint8Array(300), new Uint8Array(70_000),
];

test("every value comes back as it was", () => {
  for (const value of VALUES) {
    const back = decode(encode(value));
    // A handle within 2^53 may come as a number.
    if (typeof value === "bigint") assert.equal(BigInt(back), value);
    else assert.deepEqual(back, value);
  }
});

test("NaN and minus zero keep their bits", () => {
  assert.ok(Number.isNaN(decode(encode(NaN))));
  assert.ok(Object.is(decode(encode(-0)), -0));
});

test("numbers take their shortest form", () => {
  for (const [value, text] of [[127, "7f"], [128, "cc80"], [65_535, "cdffff"], [-32, "e0"], [-33, "d0df"], [-129, "d1ff7f"], [-32_769, "d2ffff7fff"]]) {
    assert.equal(hex(encode(value)), text);
  }
});

test("a 64-bit handle stays exact", () => {
  assert.equal(decode(unhex("cf0020000000000001")), 2n ** 53n + 1n);
  assert.equal(decode(unhex("cf0000000500000007")), 5 * 2 ** 32 + 7);
  assert.equal(decode(unhex("d38000000000000000")), -(2n ** 63n));
});

test("a key named __proto__ is a key like any other", () => {
  const value = decode(encode(JSON.parse('{"__proto__": {"evil": 1}}')));
  assert.equal(value.evil, undefined);
  assert.deepEqual(Object.keys(value), ["__proto__"]);
});

test("malformed messages are refused", () => {
  for (const text of ["", "c1", "d4", "c7", "cc", "a5616263", "92", "dd", "ddffffffff", "df7fffffff", "dbffffffff", "c6ffffffff", "0000", "8100", "8101c0", "a2c328"]) {
    assert.throws(() => decode(unhex(text)), WireError, text);
  }
});

test("depth is bounded both ways", () => {
  const nest = (depth) => (depth === 0 ? 0 : [nest(depth - 1)]);
  assert.deepEqual(decode(encode(nest(MAX_DEPTH))), nest(MAX_DEPTH));
  assert.throws(() => encode(nest(MAX_DEPTH + 1)), WireError);
  assert.throws(() => decode(new Uint8Array(100_000).fill(0x91)), WireError);
});

test("size is bounded both ways", () => {
  assert.throws(() => encode(new Uint8Array(MAX_BYTES)), WireError);
  assert.throws(() => decode(new Uint8Array(MAX_BYTES + 1)), WireError);
});

test("what has no encoding is refused", () => {
  for (const value of [2n ** 64n, -(2n ** 63n) - 1n, Symbol("x"), () => 0]) assert.throws(() => encode(value), WireError);
});

test("every truncation and every flipped bit is refused or decoded", () => {
  const bytes = encode({ a: [1, 2.5, "text", null], b: { c: Uint8Array.of(1, 2), d: 2n ** 60n }, e: -70_000 });
  for (let n = 0; n < bytes.length; n++) assert.throws(() => decode(bytes.subarray(0, n)), WireError);
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const mutant = bytes.slice();
    mutant[bit >> 3] ^= 1 << (bit & 7);
    try {
      decode(mutant);
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
    }
  }
});

test("what Python's msgpack wrote is read", { skip: !process.env.MSGPACK_VECTORS && "run by tests/test_javascript.py" }, () => {
  for (const { packed, json } of JSON.parse(readFileSync(process.env.MSGPACK_VECTORS, "utf8"))) {
    const plain = JSON.stringify(decode(unhex(packed)), (_, v) => (typeof v === "bigint" ? { int: String(v) } : v instanceof Uint8Array ? { bin: hex(v) } : v));
    assert.deepEqual(JSON.parse(plain), json, packed);
  }
});
