import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { inflate } from "../../horizon_ecs/net/web/inflate.js";
import { WireError } from "../../horizon_ecs/net/web/horizon.js";

const MOST = 1024;

/** Bytes of several kinds: of one, of few and of all values, and with repetitions near and far. */
const TEXTS = [
  "", "a", "y".repeat(1024), "abc".repeat(300), "Ünïcode ☃ 𝄞 ".repeat(20),
  Array.from({ length: 100 }, (_, i) => `${i} men`).join(" "), Buffer.from(Array.from({ length: 1024 }, (_, i) => (i * i * 167 + (i >> 3) * 31) & 255)),
  Buffer.from(Array.from({ length: 1024 }, (_, i) => [3, 3, 7, 9][(i * 7919) % 4])),
].map((text) => Buffer.from(text));
const WAYS = [{ level: 0 }, { level: 9 }, { strategy: constants.Z_FIXED }, { strategy: constants.Z_HUFFMAN_ONLY }, { strategy: constants.Z_RLE }];

/** What zlib makes of it, if that is all and short enough; else null. */
function inflatedByZlib(data) {
  try {
    const { buffer, engine } = inflateRawSync(data, { info: true, maxOutputLength: MOST });
    return engine.bytesWritten === data.length ? buffer : null;
  } catch {
    return null;
  }
}

test("what zlib deflates in any way is the same again", () => {
  for (const text of TEXTS) for (const way of WAYS) assert.deepEqual(Buffer.from(inflate(deflateRawSync(text, way), MOST)), text);
});

test("what is cut off, goes on, or would be longer is refused", () => {
  for (const text of TEXTS.filter(({ length }) => length > 0)) {
    for (const way of WAYS) {
      const data = deflateRawSync(text, way);
      for (let n = 0; n < data.length; n += 1 + (data.length >> 5)) assert.throws(() => inflate(data.subarray(0, n), MOST), WireError);
      assert.throws(() => inflate(Buffer.concat([data, Buffer.from([0])]), MOST), WireError);
      assert.throws(() => inflate(data, text.length - 1), WireError);
    }
  }
});

test("flipped bits are refused where zlib refuses them", () => {
  let refused = 0;
  for (const text of TEXTS) {
    for (const way of WAYS) {
      const data = deflateRawSync(text, way);
      for (let bit = 0; bit < 8 * data.length; bit += 1 + (data.length >> 4)) {
        const mutant = new Uint8Array(data);
        mutant[bit >> 3] ^= 1 << (bit & 7);
        const expected = inflatedByZlib(mutant);
        if (expected === null) {
          assert.throws(() => inflate(mutant, MOST), WireError);
          refused++;
        } else assert.deepEqual(Buffer.from(inflate(mutant, MOST)), expected);
      }
    }
  }
  assert.ok(refused > 0);
});
