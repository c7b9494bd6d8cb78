import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Backoff, ConnectionClosed, encode, explain, follow } from "../../horizon_ecs/net/web/horizon.js";
import { CLOSES } from "../../horizon_ecs/net/web/closes.js";
import { decode } from "../../horizon_ecs/net/web/msgpack.js";
import { BitWriter, frame } from "./bits.mjs";

const SCHEMA = {
  n_slots: 16, n_channels: 1, max_followed: 8,
  kinds: [{
    name: "Dot", position: "P", channels: [{ period: 1, radius: 5, frequency: 60 }],
    groups: [{ component: "P", channels: 1, fields: [{ name: "x", type: "f4", codec: "quantised", params: [[1, 1]] }] }],
  }],
  events: [],
};
const WELCOME = encode({ type: "welcome", protocol: 2, schema_hash: "0", schema: SCHEMA, tick_rate: 60, tick: 9, phase: 0, observer: 4, entity: 0, ack_every: 8, limits: {}, about: {} });

function resetFrame(tick, slots) {
  const bits = new BitWriter().put(0, 5).gamma(slots.length);
  for (const slot of slots) bits.put(slot, 4).gamma(0).put(1, 1);
  for (const _ of slots) bits.wide(0);
  return frame(7, tick, bits);
}

/** A WebSocket whose other end is the test. */
class FakeSocket {
  static all = [];
  readyState = 1;
  sent = [];
  constructor() { FakeSocket.all.push(this); }
  send(bytes) { this.sent.push(bytes); }
  close(code = 1000, reason = "") { this.end(code, reason); }
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason, wasClean: true });
  }
  receive(bytes) { this.onmessage({ data: bytes.slice().buffer }); }
}

/** A link, its timers in the test's hands. */
function start(t, options = {}) {
  FakeSocket.all = [];
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  return follow("ws://x/ws", { WebSocket: FakeSocket, ...options });
}

test("it comes back as who it was, with the last secret that it was told", (t) => {
  const link = start(t, { session: "first" });
  const said = (i) => {
    FakeSocket.all[i].onopen();
    return decode(FakeSocket.all[i].sent[0]).session;
  };
  assert.equal(said(0), "first");
  FakeSocket.all[0].receive(encode({ ...decode(WELCOME), session: "second" }));
  FakeSocket.all[0].end(1006);
  link.hurry();
  assert.equal(said(1), "second");
  FakeSocket.all[1].end(1006); // before any welcome
  link.hurry();
  assert.equal(said(2), "second");
  link.close();
});

test("it comes back after growing pauses, and callbacks go on", (t) => {
  const told = [];
  const link = start(t, {
    onEnter: (handle) => told.push(["in", Number(handle & 255n)]), onLeave: (handle) => told.push(["out", Number(handle & 255n)]), backoff: new Backoff({ firstMs: 1000, growth: 2 }),
  });
  FakeSocket.all[0].receive(WELCOME);
  FakeSocket.all[0].receive(resetFrame(5, [1, 2]));
  assert.equal(link.state, "live");
  assert.ok(link.client.clock.tick(1e9) > 0);
  FakeSocket.all[0].end(1001, "the server stops");
  assert.equal(link.state, "waiting");
  assert.equal(link.reason, "The server has stopped");
  assert.equal(link.error.message, "connection closed with code 1001 (the server has stopped): the server stops");
  t.mock.timers.tick(1300);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.all[1].end(1006);
  t.mock.timers.tick(1300);
  assert.equal(FakeSocket.all.length, 2);
  t.mock.timers.tick(1300);
  assert.equal(FakeSocket.all.length, 3);
  FakeSocket.all[2].receive(WELCOME);
  FakeSocket.all[2].receive(resetFrame(50, [2, 3]));
  assert.deepEqual(told, [["in", 1], ["in", 2], ["in", 3], ["out", 1]]);
  link.close();
  assert.equal(link.state, "ended");
});

test("what won't change ends it", (t) => {
  const link = start(t);
  FakeSocket.all[0].end(4003, "schema");
  assert.equal(link.state, "ended");
  assert.ok(link.error instanceof ConnectionClosed);
  assert.equal(link.error.mayRetry, false);
  t.mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 1);
});

test("closing ends it also while it waits, and it can be hurried", (t) => {
  const link = start(t);
  FakeSocket.all[0].end(1006);
  link.hurry();
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.all[1].end(1006);
  link.close();
  t.mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 2);
});

test("pauses grow to a limit and begin anew after what was stable", () => {
  const backoff = new Backoff({ firstMs: 1, maxMs: 5, growth: 2 });
  assert.deepEqual([0, 0, 0, 0, 0].map((stood) => backoff.pause(stood, 0.5)), [1, 2, 4, 5, 5]);
  assert.equal(backoff.pause(4_000, 0.5), 5);
  assert.equal(backoff.pause(60_000, 0.5), 1);
  assert.throws(() => new Backoff({ firstMs: 0 }), RangeError);
});

test("every close code of the wire is explained", () => {
  const section = readFileSync(new URL("../../docs/wire.md", import.meta.url), "utf8").split("## Close codes")[1];
  const codes = [...section.matchAll(/^\| (\d{4}) \|/gm)].map((match) => match[1]);
  assert.ok(codes.length > 10);
  for (const code of codes) assert.ok(code in CLOSES, code);
  assert.equal(explain(4999).mayRetry, true);
});
