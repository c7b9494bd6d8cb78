/** The scripts of tests/make_vectors.py: what the Python classes said, this library says too. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Callbacks, Interpolator, Predictor, Replica, ServerClock } from "../../horizon_ecs/net/web/horizon.js";

/** JSON has no NaN and no infinities. */
const restored = (value) => ({ nan: NaN, inf: Infinity, "-inf": -Infinity })[value] ?? value;
const load = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"), (_, value) => (typeof value === "string" ? restored(value) : value));

function assertClose(value, wanted, what) {
  if (Number.isNaN(wanted)) assert.ok(Number.isNaN(value), `${what}: ${value}, not NaN`);
  else assert.ok(Math.abs(value - wanted) <= 1e-6 * (1 + Math.abs(wanted)), `${what}: ${value}, not ${wanted}`);
}

test("the clock reads as Python's", () => {
  const { tick_rate, steps } = load("../vectors/clock.json");
  const clock = new ServerClock(tick_rate);
  let readings = 0;
  for (const [name, now, values] of steps) {
    const ms = 1000 * now;
    if (name === "frame") clock.frame(values[0], ms);
    else if (name === "pong") clock.pong(1000 * values[0], values[1], ms);
    else {
      const told = [clock.tick(ms), clock.playout(ms), clock.rttMs / 1000, clock.rttDeviationMs / 1000, clock.jitterMs / 1000, clock.epoch];
      told.forEach((value, v) => assertClose(value, values[v], `reading ${v} at ${now}`));
      readings++;
    }
  }
  assert.ok(readings > 400);
});

const { tick_rate, streams } = load("../vectors/interpolation.json");
streams.forEach(({ stream, options, steps }, number) => {
  test(`${stream} (${number}) is drawn as Python does`, () => {
    const { schema, phase, frames } = load(`../golden/${stream}.json`);
    const replica = new Replica(schema, { phase });
    const { modes, max_speed: maxSpeed, history, blend_s = 0.15, max_beyond_s = 1 } = options;
    const drawn = new Interpolator(replica, { tickRate: tick_rate, modes, maxSpeed, history, blendMs: 1000 * blend_s, maxBeyondMs: 1000 * max_beyond_s });
    steps.forEach(([index, now, ...wanted]) => {
      replica.apply(new Uint8Array(Buffer.from(frames[index], "hex")));
      drawn.update(now);
      wanted.forEach((columns, late) => compare(drawn.sample(now + 4.5 * late), columns, `frame ${index}`));
    });
  });
});

function compare(sampled, wanted, what) {
  for (const [name, column] of Object.entries(sampled)) {
    const known = [...column].filter((value) => !Number.isNaN(value));
    const [n, first, last, sum] = wanted[name] ?? [0];
    assert.equal(known.length, n, `${what}, ${name}`);
    if (n === 0) continue;
    assertClose(known[0], first, `${what}, ${name}`);
    assertClose(known[n - 1], last, `${what}, ${name}`);
    assertClose(known.reduce((a, b) => a + b, 0), sum, `${what}, ${name}`);
  }
}

/** The step of the script. */
function glide(state, given) {
  state[1] += given[0];
  state[0] += state[1] / 60;
  state[2] += given[1];
}

test("the predictor does as Python's", () => {
  const { steps } = load("../vectors/prediction.json");
  const mine = new Predictor(glide, [0, 0, 3], { tolerance: [1e-3, 1e-3, 1e-3], maxError: 2, angles: [2], maxPending: 12 });
  steps.forEach(([name, values, result, state, counts], step) => {
    const told = mine[name](...values);
    const what = `step ${step}, ${name}`;
    if (Array.isArray(result)) result.forEach((value, v) => assertClose(told[v], value, what));
    else assert.equal(told ?? null, result, what);
    state.forEach((value, v) => assertClose(mine.state[v], value, what));
    assert.deepEqual([mine.nPending, mine.nPredicted, mine.nAcknowledged, mine.nMispredictions, mine.nSnaps, mine.nRefused], counts, what);
  });
});

for (const { stream, kind, steps } of load("../vectors/callbacks.json").streams) {
  test(`${stream}: callbacks tell what Python's tell`, () => {
    const { schema, phase, frames } = load(`../golden/${stream}.json`);
    const replica = new Replica(schema, { phase });
    const calls = new Callbacks();
    const told = [];
    for (const options of [{}, { kind }]) {
      calls.onEnter((handle, row) => told.push(["enter", String(handle), row]), options);
      calls.onUpdate((handle, row) => told.push(["update", String(handle), row]), options);
      calls.onLeave((handle) => told.push(["leave", String(handle)]), options);
      calls.onEvent((name, handle, values) => told.push(["event", name, String(handle), Object.keys(values).length]));
    }
    steps.forEach((wanted, i) => {
      replica.apply(new Uint8Array(Buffer.from(frames[i], "hex")));
      calls.frame(replica);
      assert.deepEqual(told, wanted, `frame ${i}`);
      told.length = 0;
    });
  });
}
