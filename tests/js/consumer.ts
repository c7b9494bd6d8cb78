/** What a program in TypeScript does with the package; compiled, and never run. */

import { Backoff, Callbacks, ConnectionClosed, explain, follow, Interpolator, Predictor, Replica, ServerClock, WireError } from "horizon-ecs";
import { decode } from "horizon-ecs/msgpack";

const calls = new Callbacks();
calls.onEnter((handle: bigint, row: number) => console.log(handle, row), { kind: "Ship" });
calls.onEvent((name, handle, values) => console.log(name, handle, values.power), { name: "boom" });

const link = follow("ws://127.0.0.1:8080/ws", {
  callbacks: calls,
  backoff: new Backoff({ firstMs: 100 }),
  onFrame(replica: Replica) {
    const x: Float32Array | Float64Array = replica.column("Position", "x");
    console.log(replica.tick, x[0]);
  },
  onClose({ code }) {
    const { explanation, mayRetry } = explain(code);
    console.log(explanation, mayRetry ? "again" : "over");
  },
});
if (link.error instanceof ConnectionClosed && link.state === "ended") throw link.error;
link.client.send("steer", { x: 1, y: 0 });
calls.onServerEvent((namespace: string, event: string, data) => console.log(namespace, event, data.text), { namespace: "chat" });
const sent: boolean = link.client.emit("chat", "message", { text: "Hello" });
console.log(sent);

const clock = new ServerClock(60);
clock.frame(1, 16.7);
const rtt: number = clock.rttMs;

type Push = { x: number };
const mine = new Predictor<Push>((state, given) => {
  state[0] += given.x;
}, [0, 0], { tolerance: 0.01, angles: [1] });
const sequence: number = mine.predict({ x: 1 }, clock.tick(20));
const wrong: boolean = mine.reconcile(Float64Array.of(1, NaN), sequence, clock.tick(40));

function draw(replica: Replica) {
  const drawn = new Interpolator(replica, { tickRate: 60, modes: { Position: "hermite" }, maxSpeed: { Position: 100 } });
  drawn.update(clock.playout(50));
  const columns: Record<string, Float64Array> = drawn.sample(clock.playout(60));
  return [columns["Position.x"], drawn.sampleRow(0, 3)["Position.x"]] as const;
}

try {
  console.log(decode(Uint8Array.of(0x80)), rtt, wrong, draw);
} catch (error) {
  if (!(error instanceof WireError)) throw error;
}

// @ts-expect-error there is no such mode
export const refused = (replica: Replica) => new Interpolator(replica, { tickRate: 60, modes: { Position: "cubic" } });
// @ts-expect-error an input is what the step takes
export const alsoRefused = () => mine.predict("left", 0);
