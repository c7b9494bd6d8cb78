/**
 * Horizon ECS for JavaScript: follow a server's entities from a browser, Node, Deno or Bun. No dependencies.
 *
 *     import { follow } from "horizon-ecs";
 *
 *     follow("ws://127.0.0.1:8080/ws", {
 *       onFrame(replica) { console.log(replica.tick, replica.column("Position", "x")); },
 *     });
 */

export { Callbacks } from "./callbacks.js";
export { Client, connect, encodeEvent, PROTOCOL } from "./client.js";
export { ServerClock } from "./clock.js";
export { ConnectionClosed, explain } from "./closes.js";
export { Interpolator } from "./interpolation.js";
export { Backoff, follow, Link } from "./link.js";
export { decode, encode, WireError } from "./msgpack.js";
export { Predictor } from "./prediction.js";
export { Replica } from "./replica.js";
export { Layout, NO_CHANNEL } from "./schema.js";
