import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, decode, encode, encodeEvent } from "../../horizon_ecs/net/web/horizon.js";
import { BitWriter, frame } from "./bits.mjs";

const SCHEMA = {
  n_slots: 16, n_channels: 1, max_followed: 8,
  kinds: [{
    name: "Dot", position: "P", channels: [{ period: 1, radius: 5, frequency: 60 }],
    groups: [{ component: "P", channels: 1, fields: [{ name: "x", type: "f4", codec: "quantised", params: [[1, 1]] }] }],
  }],
  events: [{ id: 3, name: "steer", fields: [["x", "f4"], ["y", "f4"]] }, { id: 4, name: "movement.move", fields: [["z", "u1"]] }],
};
const WELCOME = {
  type: "welcome", protocol: 2, schema_hash: "0", schema: SCHEMA, tick_rate: 60, tick: 9, phase: 0, observer: 4, entity: 2n ** 33n,
  ack_every: 8, limits: { max_message_bytes: 4096 }, about: { title: "T" },
};

/** A WebSocket whose other end is the test. */
class FakeSocket {
  static last;
  readyState = 1;
  sent = [];
  constructor(url) {
    this.url = url;
    FakeSocket.last = this;
  }
  send(bytes) { this.sent.push(Uint8Array.from(bytes)); }
  close(code, reason) {
    this.readyState = 3;
    this.onclose({ code, reason, wasClean: true });
  }
  receive(bytes) { this.onmessage({ data: bytes instanceof Uint8Array ? bytes.slice().buffer : bytes }); }
  acks() { return this.sent.filter((bytes) => bytes[0] === 0).map((bytes) => new DataView(bytes.buffer).getUint32(1, true)); }
}

function start(options = {}) {
  const client = new Client("ws://x/ws", { WebSocket: FakeSocket, ...options });
  const socket = FakeSocket.last;
  socket.onopen();
  return { client, socket };
}

function live(options) {
  const both = start(options);
  both.socket.receive(encode(WELCOME));
  return both;
}

const resetFrame = (tick, slots) => {
  const bits = new BitWriter().put(0, 5).gamma(slots.length);
  for (const slot of slots) bits.put(slot, 4).gamma(0).put(1, 1);
  for (const _ of slots) bits.wide(0);
  return frame(7, tick, bits);
};
const nothing = (difference) => frame(0, difference, new BitWriter().put(0, 2));

test("refuses what a field can't hold", () => {
  const event = { id: 1, name: "e", fields: [["small", "u1"], ["flag", "b1"], ["real", "f4"], ["long", "i8"]] };
  assert.deepEqual([...encodeEvent(event, [{ small: 255, flag: true, real: 0.5, long: -1n }])].slice(0, 7), [1, 255, 1, 0, 0, 0, 63]);
  for (const [name, value] of [["small", 256], ["small", -1], ["small", 1.5], ["flag", 2], ["real", 1e300], ["long", 2n ** 63n]]) {
    assert.throws(() => encodeEvent(event, [{ [name]: value }]), RangeError, `${name}: ${value}`);
  }
});

test("says hello first, then is live with the welcome", () => {
  const { client, socket } = start({ name: "me", schema: "abc", about: { a: 1 } });
  assert.deepEqual(decode(socket.sent[0]), { type: "hello", protocol: 2, name: "me", about: { a: 1 }, schema: "abc" });
  assert.equal(client.live, false);
  socket.receive(encode(WELCOME));
  assert.equal(client.live, true);
  assert.equal(client.welcome.entity, 2 ** 33);
  client.close();
  assert.equal(client.live, false);
});

test("says who it is, and whom it was", () => {
  const { client, socket } = start({ token: "a.b.c", session: "old" });
  assert.deepEqual(decode(socket.sent[0]), { type: "hello", protocol: 2, token: "a.b.c", session: "old" });
  assert.equal(client.session, "");
  socket.receive(encode({ ...WELCOME, session: "new", returned: true }));
  assert.equal(client.session, "new");
  client.close();
});

test("acknowledges a reset frame at once, then every ack_every ticks, and what is left when it gets quiet", (t) => {
  const timeouts = [];
  t.mock.method(globalThis, "setTimeout", (callback, ms) => timeouts.push({ callback, ms }));
  const { client, socket } = live();
  socket.receive(resetFrame(100, [1]));
  for (let i = 0; i < 19; i++) socket.receive(nothing(1));
  assert.deepEqual(socket.acks(), [100, 108, 116]);
  assert.ok(timeouts.at(-1).ms < 1000);
  timeouts.at(-1).callback();
  assert.deepEqual(socket.acks(), [100, 108, 116, 119]);
  client.close();
});

test("tells who entered and who left", () => {
  const told = [];
  const { client, socket } = live({ onEnter: (handle, i) => told.push(["in", handle, i]), onLeave: (handle) => told.push(["out", handle]), onFrame: (replica) => told.push(replica.tick) });
  socket.receive(resetFrame(1, [1, 2]));
  socket.receive(resetFrame(2, [2, 3]));
  const one = 2n ** 32n;
  assert.deepEqual(told, [["in", one + 1n, 0], ["in", one + 2n, 1], 1, ["in", one + 3n, 1], ["out", one + 1n], 2]);
  client.close();
});

test("emits objects, and what the schema declares as records", () => {
  const { client, socket } = live();
  const sent = () => socket.sent.at(-1);
  assert.equal(client.emit("chat", "message", { text: "Hello", to: [1, null, true] }), true);
  assert.deepEqual(decode(sent()), { type: "event", namespace: "chat", event: "message", data: { text: "Hello", to: [1, null, true] } });
  client.emit("chat", "typing");
  assert.deepEqual(decode(sent()).data, null);
  client.emit("", "steer", { x: 1 });
  assert.deepEqual([...sent()], [3, 0, 0, 128, 63, 0, 0, 0, 0]);
  client.emit("movement", "move", [{ z: 1 }, { z: 2 }]);
  assert.deepEqual([...sent()], [4, 1, 2]);
  const before = socket.sent.length;
  for (const [namespace, event, data] of [["a.b", "c", 1], ["a", "", 1], ["a", "x".repeat(65), 1], [1, "a", 1], ["a", "b", { x: [NaN] }], ["a", "b", Infinity], ["a", "b", "x".repeat(5000)], ["", "steer", { q: 1 }]]) {
    assert.throws(() => client.emit(namespace, event, data), RangeError, `${namespace} ${event} ${data}`);
  }
  const circle = {};
  circle.self = circle;
  assert.throws(() => client.emit("a", "b", circle), /nested/);
  assert.throws(() => client.emit("a", "b", () => 1), /encoding/);
  assert.equal(socket.sent.length, before);
  client.close();
  assert.equal(client.emit("chat", "message", 1), false);
});

test("tells what the application says, by name or all of it", () => {
  const told = [];
  const note = (...said) => told.push(said);
  const { client, socket } = live({ onServerEvent: (...said) => told.push(["all", ...said]) });
  client.callbacks.onServerEvent(note, { namespace: "chat" });
  client.callbacks.onServerEvent(note, { namespace: "chat", event: "message" });
  socket.receive(encode({ type: "event", namespace: "chat", event: "message", data: { text: "Hi" } }));
  socket.receive(encode({ type: "event", namespace: "chat", event: "left" }));
  socket.receive(encode({ type: "event", namespace: "trade", event: "message", data: 1 }));
  const hi = ["chat", "message", { text: "Hi" }];
  assert.deepEqual(told, [["all", ...hi], hi, hi, ["all", "chat", "left", null], ["chat", "left", null], ["all", "trade", "message", 1]]);
  client.callbacks.off(note);
  told.length = 0;
  socket.receive(encode({ type: "event", namespace: "chat", event: "message", data: 2 }));
  assert.deepEqual(told, [["all", "chat", "message", 2]]);
  let closed = null;
  const other = live({ onClose: (event) => (closed = event) });
  other.socket.receive(encode({ type: "event", namespace: 1, event: "message" }));
  assert.equal(closed.code, 4000);
  client.close();
});

test("measures the round trip", () => {
  let pinged = null;
  const { client, socket } = live({ onPing: (ms, tick) => (pinged = [ms, tick]) });
  const ping = decode(socket.sent[1]);
  assert.equal(ping.type, "ping");
  socket.receive(encode({ type: "pong", t: ping.t, tick: 77 }));
  assert.equal(pinged[1], 77);
  assert.ok(client.pingMs >= 0);
  client.close();
});

test("takes statistics, and lets unknown messages be", () => {
  const { client, socket } = live();
  socket.receive(encode({ type: "stats", tick_ms: 1.5 }));
  socket.receive(encode({ type: "from the future" }));
  assert.equal(client.stats.tick_ms, 1.5);
  assert.equal(client.live, true);
  client.close();
});

test("sends declared events packed, and nothing else", () => {
  const { client, socket } = live();
  assert.equal(client.send("steer", { x: 1, y: -0.5 }), true);
  assert.equal(Buffer.from(socket.sent.at(-1)).toString("hex"), "030000803f000000bf");
  assert.equal(client.send("unknown", {}), false);
  client.close();
  assert.equal(client.send("steer", { x: 1, y: 0 }), false);
});

test("packs every type of field, and several records", () => {
  const types = ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"];
  const event = { id: 9, name: "all", fields: types.map((type) => [type, type]) };
  const record = { b1: true, i1: -1, u1: 255, i2: -2, u2: 65_535, i4: -3, u4: 2 ** 32 - 1, i8: -4n, u8: 2n ** 64n - 1n, f4: 0.5, f8: 0.1 };
  const size = 1 + 1 + 1 + 2 + 2 + 4 + 4 + 8 + 8 + 4 + 8;
  const bytes = encodeEvent(event, [record, {}]);
  assert.equal(bytes.length, 1 + 2 * size);
  assert.equal(new DataView(bytes.buffer).getFloat64(1 + size - 8, true), 0.1);
  assert.throws(() => encodeEvent(event, []), RangeError);
  assert.throws(() => encodeEvent({ id: 1, name: "e", fields: [["x", "c16"]] }, [{}]));
});

for (const [name, messages] of Object.entries({
  "text": ["hello"],
  "empty": [Uint8Array.of()],
  "not msgpack": [Uint8Array.of(0xc1)],
  "stats before welcome": [encode({ type: "stats" })],
  "state before welcome": [nothing(1)],
  "another protocol": [encode({ ...WELCOME, protocol: 1 })],
  "no schema": [encode({ ...WELCOME, schema: null })],
  "no rate": [encode({ ...WELCOME, tick_rate: 0 })],
  "malformed frame": [encode(WELCOME), Uint8Array.of(0x7f)],
})) {
  test(`closes with 4000: ${name}`, () => {
    let closed = null;
    const { socket } = start({ onClose: (event) => (closed = event) });
    for (const message of messages) socket.receive(message);
    assert.equal(closed.code, 4000);
    assert.ok(closed.reason.length > 0);
  });
}

test("a record with a strange field or value is refused before it is sent", () => {
  const { client, socket } = live();
  const before = socket.sent.length;
  assert.throws(() => client.send("steer", { z: 1 }), /event steer has no field z/);
  assert.throws(() => client.send("steer", { x: NaN }), /steer.x is NaN/);
  assert.throws(() => client.send("steer", { x: "left" }), /steer.x is left/);
  assert.equal(socket.sent.length, before);
  assert.equal(client.send("steer", { x: 1 }), true);
  client.close();
});

test("the own entity is a handle like the others'", () => {
  const { client, socket } = start();
  assert.equal(client.entity, 0n);
  socket.receive(encode(WELCOME));
  assert.equal(client.entity, 2n ** 33n);
  client.close();
});

test("without a WebSocket it says what to do", () => {
  const before = globalThis.WebSocket;
  try {
    globalThis.WebSocket = undefined;
    assert.throws(() => new Client("ws://x/ws"), /options.WebSocket/);
  } finally {
    globalThis.WebSocket = before;
  }
});
