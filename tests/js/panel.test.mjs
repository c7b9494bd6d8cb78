import assert from "node:assert/strict";
import { test } from "node:test";
import { slowdownOf } from "../../horizon_ecs/net/web/overlay.js";
import { Received } from "../../horizon_ecs/net/web/panel.js";

/** A replica that carries a group of each of `n` entities on channel 0, of which `told` have come. */
function replica(n, told) {
  return { n, kind: new Uint8Array(n), layout: { nChannels: 2, nGroups: [1] }, carrier: () => 0, spent: { toldByChannel: [told, 0] } };
}

test("a channel's rate is how often the values that it carries came", () => {
  const received = new Received();
  for (let ms = 0; ms <= 1_000; ms += 250) received.add(ms, replica(20, (300 * ms) / 1_000));
  assert.deepEqual(received.hz, [15, NaN]);
});

test("a rate begins anew with another connection", () => {
  const received = new Received();
  for (const ms of [0, 250]) received.add(ms, replica(10, 1_000 + ms));
  for (const ms of [500, 750]) received.add(ms, replica(10, ms - 500));
  assert.equal(received.hz[0], 100);
});

test("a rate is of the last two seconds", () => {
  const received = new Received();
  let told = 0;
  for (let ms = 0; ms <= 6_000; ms += 250) received.add(ms, replica(10, (told += ms <= 3_000 ? 75 : 25)));
  assert.equal(received.hz[0], 10);
});

test("a ring is slowed as its kind's channel is", () => {
  const slowed = { layout: { nChannels: 2, period: [2, 4, 2, 4] }, period: [2, 4, 8, 4] };
  assert.equal(slowdownOf(slowed, { kind: 1, channel: 0 }), 4);
  assert.equal(slowdownOf(slowed, { kind: 0, channel: 0 }), 1);
  assert.equal(slowdownOf(null, { kind: 1, channel: 0 }), 1);
});
