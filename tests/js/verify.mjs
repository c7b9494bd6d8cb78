/**
 * Follow a live server and print what is known after every frame, one JSON object a line, for another program to compare.
 *
 *     node tests/js/verify.mjs ws://127.0.0.1:8080/ws SECONDS [--steer] [--digest]
 *
 * First `{"welcome": {...}}`; then per frame `{"tick", "reset", "table": {handle: [mask, [[q of group 0], ...]]}}`, with --digest
 * instead of the table `"sha256"` over its JSON with handles in ascending order; last `{"summary": {...}}`. Exits with 1 when the
 * connection ended before its time. With --steer the observer's entity is driven in a circle.
 */

import { createHash } from "node:crypto";
import { Client } from "../../horizon_ecs/net/web/horizon.js";
import { Socket } from "./socket.mjs";

const [url, seconds, ...flags] = process.argv.slice(2);
if (!url || !(Number(seconds) > 0)) {
  console.error("usage: node verify.mjs URL SECONDS [--steer] [--digest]");
  process.exit(2);
}

/** JSON has no 64-bit integers: handles are written as decimal text. */
const say = (value) => process.stdout.write(`${JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v))}\n`);

function describe(replica) {
  const entries = [...replica.toMap()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([handle, { mask, q }]) => [String(handle), [mask, q]]);
  const { tick, reset } = replica;
  if (!flags.includes("--digest")) return { tick, reset, table: Object.fromEntries(entries) };
  return { tick, reset, n: entries.length, sha256: createHash("sha256").update(JSON.stringify(entries)).digest("hex") };
}

let done = false;
const client = new Client(url, {
  name: "verify",
  WebSocket: Socket,
  onWelcome: ({ observer, entity, phase, schema_hash }) => say({ welcome: { observer, entity: String(entity), phase, schema_hash } }),
  onFrame: (replica) => say(describe(replica)),
  onClose: ({ code, reason }) => {
    clearTimeout(timer);
    clearInterval(steering);
    say({ summary: { ...client.replica?.counters, code, reason, ping_ms: client.pingMs } });
    process.exitCode = done ? 0 : 1;
  },
});

const timer = setTimeout(() => {
  done = true;
  client.close();
}, 1000 * Number(seconds));

let step = 0;
const steering = setInterval(() => {
  const angle = (step++ * Math.PI) / 8;
  if (flags.includes("--steer")) client.send("steer", { x: Math.cos(angle), y: Math.sin(angle) });
}, 200);
