/**
 * Apply recorded frames again and again, and tell how fast: `node benchmarks/javascript/decode.mjs SECONDS < RECORDING`, or in a
 * browser `measure(bytes, seconds)`.
 */

import { decode, Interpolator, Replica } from "../../horizon_ecs/net/web/horizon.js";

/** Passes before it counts: engines compile what runs often. */
const WARM_UP = 3;

/**
 * @param {Uint8Array} bytes a recording
 * @param {number} seconds to measure for
 */
export function measure(bytes, seconds) {
  const { schema, phase, frames } = decode(bytes);
  const [reset, ...rest] = frames;
  const replica = new Replica(schema, { phase });
  let ms = [];
  let updates = 0;
  const began = performance.now();
  for (let pass = 0; pass < WARM_UP + 1 || performance.now() - began < 1000 * seconds; pass++) {
    replica.apply(reset);
    const before = replica.counters.updates;
    const start = performance.now();
    for (const frame of rest) replica.apply(frame);
    ms.push(performance.now() - start);
    updates = replica.counters.updates - before;
  }
  ms = ms.slice(WARM_UP).sort((a, b) => a - b);
  const median = ms[ms.length >> 1];
  return {
    followed: replica.n, frames: rest.length, updates, bytes: rest.reduce((sum, frame) => sum + frame.length, 0), passes: ms.length,
    median_ms: median, updates_per_s: (1000 * updates) / median, ...drawing(replica),
  };
}

/** Milliseconds to take a frame over for drawing and to sample everything once. */
function drawing(replica) {
  const drawn = new Interpolator(replica, { tickRate: 60 });
  const start = performance.now();
  const n = 60;
  for (let i = 0; i < n; i++) drawn.update(replica.tick);
  const middle = performance.now();
  for (let i = 0; i < n; i++) drawn.sample(replica.tick + 0.1 * i);
  return { update_ms: (middle - start) / n, sample_ms: (performance.now() - middle) / n };
}

if (typeof process !== "undefined" && process.argv[1] && import.meta.url.endsWith(process.argv[1].split("/").pop())) {
  const { readFileSync } = await import("node:fs");
  console.log(JSON.stringify(measure(new Uint8Array(readFileSync(0)), Number(process.argv[2]))));
}
