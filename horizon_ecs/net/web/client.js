/**
 * A connection to a server: handshake, acknowledgements, events, pings. One WebSocket, one Replica; reconnecting is the caller's.
 */

import { callbacksOf } from "./callbacks.js";
import { ServerClock } from "./clock.js";
import { decode, encode, WireError } from "./msgpack.js";
import { Replica } from "./replica.js";
import { TYPES } from "./types.js";

export const PROTOCOL = 2;

/** Events that one message may carry; the server refuses messages beyond its max_message_bytes anyway. */
const MAX_RECORDS = 256;

const PING_INTERVAL_MS = 2_000;

/** Close codes a client itself uses. */
const NORMAL = 1000;
const MALFORMED = 4000;

/**
 * @typedef {import("./schema.js").Schema} Schema
 * @typedef {import("./schema.js").Event} Event
 * @typedef {{protocol: number, schema_hash: string, schema: Schema, tick_rate: number, tick: number, phase: number, observer: number,
 *   entity: number | bigint, ack_every: number, limits: Record<string, number>, about: Record<string, any>, session?: string,
 *   returned?: boolean}} Welcome
 * @typedef {Record<string, import("./types.js").Value>} EventRecord
 * @typedef {{code: number, reason: string, wasClean: boolean}} Closed
 *
 * @typedef {object} Options
 * @property {string} [name] who this is, at most 64 characters
 * @property {Record<string, any>} [about] a map for the application
 * @property {string} [schema] the hash this client was built for; a server with another schema then refuses
 * @property {string} [token] says who this is, for servers that ask
 * @property {string} [session] `Client.session` of a connection that broke: the entity is the same, if the server still keeps it
 * @property {typeof WebSocket} [WebSocket] another implementation
 * @property {(welcome: Welcome) => void} [onWelcome]
 * @property {(replica: Replica) => void} [onFrame] after every applied frame
 * @property {import("./callbacks.js").OnRow} [onEnter] for each entity that entered with a frame; in this order before `onFrame`
 * @property {import("./callbacks.js").OnRow} [onUpdate] for each that it changed
 * @property {import("./callbacks.js").OnEvent} [onEvent] for each event of an entity
 * @property {import("./callbacks.js").OnLeave} [onLeave] for each that left
 * @property {import("./callbacks.js").OnServerEvent} [onServerEvent] for what the server's application says
 * @property {import("./callbacks.js").Callbacks} [callbacks] more to be told of every frame, by kinds; those of an earlier connection go on where they were
 * @property {() => number} [now] milliseconds of a clock that never falls; `performance.now` by default
 * @property {(stats: Record<string, any>) => void} [onStats] the server's, once a second
 * @property {(ms: number, tick: number) => void} [onPing] round trip time, and the server's tick
 * @property {(closed: Closed) => void} [onClose] once, whoever closed; `explain(closed.code)` says what the code means
 */

/**
 * Connect to a server.
 *
 * @param {string} url `ws://` or `wss://`, path `/ws`
 * @param {Options} [options]
 */
export function connect(url, options = {}) {
  return new Client(url, options);
}

export class Client {
  /** @type {Welcome | null} */
  welcome = null;
  /** @type {Replica | null} what is known; null before the welcome */
  replica = null;
  /** @type {Record<string, any> | null} the server's last statistics */
  stats = null;
  /** The server's, by the milliseconds of `options.now`; kept by frames and pings. @type {ServerClock | null} */
  clock = null;
  /** Round trip time of the last ping in milliseconds; NaN before the first pong. */
  pingMs = NaN;
  /** Bytes of all messages, in both directions. */
  receivedBytes = 0;
  sentBytes = 0;

  #options;
  #now;
  #socket;
  #acknowledged = -1;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #ackTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pingTimer;
  #ack = new Uint8Array(5);

  /**
   * @param {string} url
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.callbacks = callbacksOf(options);
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    if (Socket === undefined) throw new Error("there is no WebSocket here; give one as options.WebSocket");
    this.#socket = new Socket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#hello();
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#closed(event);
  }

  /** Handle of this client's own entity; 0n if it has none, or before the welcome. */
  get entity() {
    return BigInt(this.welcome?.entity ?? 0);
  }

  /** The secret with which it may come back if its connection breaks (`options.session`); "" where none may. */
  get session() {
    return this.welcome?.session ?? "";
  }

  /** Whether the handshake is through and the connection stands. */
  get live() {
    return this.welcome !== null && this.#socket.readyState === 1;
  }

  /**
   * Send an event that the schema declares.
   *
   * @param {string} name
   * @param {EventRecord | EventRecord[]} values one record or several; a field that is left out is 0
   * @returns {boolean} false where nothing was sent: not connected, or the server knows no such event
   * @throws {RangeError} for more than 256 records, an unknown field, or a value that its field can't hold
   */
  send(name, values) {
    const event = this.welcome?.schema.events?.find((e) => e.name === name);
    if (event === undefined || !this.live) return false;
    this.#send(encodeEvent(event, Array.isArray(values) ? values : [values]));
    return true;
  }

  /**
   * Tell the server's handlers of an event. One that the schema declares goes as records, everything else as an object.
   *
   * @param {string} namespace no point in it; "" for events without one
   * @param {string} event
   * @param {any} [data] of a declared event one record or several; otherwise null, booleans, numbers, text, bytes, arrays and plain objects
   * @returns {boolean} false where nothing was sent: not connected
   * @throws {RangeError} for a name that is none, or what `send` refuses, a number that isn't finite, or more than the server takes
   * @throws {WireError} for what msgpack can't say
   */
  emit(namespace, event, data = null) {
    if (this.welcome === null || !this.live) return false;
    const name = eventName(namespace, event);
    if (this.welcome.schema.events?.some((e) => e.name === name)) return this.send(name, data ?? {});
    const bytes = encode({ type: "event", namespace, event, data });
    if (!allFinite(data)) throw new RangeError(`${name} carries finite numbers only`);
    const limit = this.welcome.limits.max_message_bytes ?? Infinity;
    if (bytes.length > limit) throw new RangeError(`${name} takes ${bytes.length} bytes, the server at most ${limit}`);
    this.#send(bytes);
    return true;
  }

  /** Measure the round trip; done every 2 s by itself. */
  ping() {
    if (this.live) this.#send(encode({ type: "ping", t: this.#now() }));
  }

  /**
   * Close the connection; `onClose` follows.
   * @param {number} [code]
   * @param {string} [reason]
   */
  close(code = NORMAL, reason = "") {
    this.#stopTimers();
    this.#socket.close(code, reason);
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  #send(bytes) {
    this.sentBytes += bytes.length;
    this.#socket.send(bytes);
  }

  #hello() {
    const { name, about, schema, token, session } = this.#options;
    /** @type {Record<string, any>} */
    const hello = { type: "hello", protocol: PROTOCOL };
    if (name !== undefined) hello.name = name;
    if (about !== undefined) hello.about = about;
    if (schema !== undefined) hello.schema = schema;
    if (token) hello.token = token;
    if (session) hello.session = session;
    this.#send(encode(hello));
  }

  /** @param {unknown} data */
  #receive(data) {
    try {
      if (!(data instanceof ArrayBuffer)) throw new WireError("a text message");
      const bytes = new Uint8Array(data);
      this.receivedBytes += bytes.length;
      if (bytes.length === 0) throw new WireError("an empty message");
      if (bytes[0] >= 0x80) this.#message(decode(bytes));
      else this.#frame(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      // A close reason takes at most 123 bytes.
      this.close(MALFORMED, error.message.slice(0, 100).replace(/[^\x20-\x7e]/g, "?"));
    }
  }

  /** @param {any} message */
  #message(message) {
    if (this.welcome === null) {
      if (message.type !== "welcome") throw new WireError(`first message is ${message.type}, must be welcome`);
      this.#begin(message);
    } else if (message.type === "stats") {
      this.stats = message;
      this.#options.onStats?.(message);
    } else if (message.type === "event") {
      const { namespace, event, data = null } = message;
      if (typeof namespace !== "string" || typeof event !== "string") throw new WireError("an event without a name");
      this.callbacks.said(namespace, event, data);
    } else if (message.type === "pong") {
      this.#pong(message.t, message.tick);
    }
    // Other types come from later servers; they mean nothing to us.
  }

  /**
   * @param {unknown} sentAt
   * @param {unknown} tick
   */
  #pong(sentAt, tick) {
    const now = this.#now();
    if (typeof sentAt !== "number" || !(sentAt <= now && sentAt >= 0) || typeof tick !== "number" || !Number.isInteger(tick)) {
      throw new WireError("a pong without the time that was sent, or without a tick");
    }
    this.pingMs = now - sentAt;
    this.clock?.pong(sentAt, tick, now);
    this.#options.onPing?.(this.pingMs, tick);
  }

  /** @param {Welcome} welcome */
  #begin(welcome) {
    if (welcome.protocol !== PROTOCOL) throw new WireError(`protocol ${welcome.protocol}, must be ${PROTOCOL}`);
    for (const key of /** @type {const} */ (["tick_rate", "ack_every"])) {
      if (!(welcome[key] > 0)) throw new WireError(`${key} is ${welcome[key]}, must be positive`);
    }
    this.replica = new Replica(welcome.schema, { phase: welcome.phase });
    this.clock = new ServerClock(welcome.tick_rate);
    this.welcome = welcome;
    this.#pingTimer = setInterval(() => this.ping(), PING_INTERVAL_MS);
    this.#options.onWelcome?.(welcome);
    this.ping();
  }

  /** @param {Uint8Array} bytes */
  #frame(bytes) {
    const { replica, welcome } = this;
    if (replica === null || welcome === null) throw new WireError("a state frame before the welcome");
    replica.apply(bytes);
    if (replica.reset || replica.tick - this.#acknowledged >= welcome.ack_every) this.#acknowledge();
    else this.#ackTimer ??= setTimeout(() => this.#acknowledge(), (1000 * welcome.ack_every) / welcome.tick_rate);
    this.clock?.frame(replica.tick, this.#now());
    this.callbacks.frame(replica);
    this.#options.onFrame?.(replica);
  }

  /**
   * Without the timer the last frame before a silence would stay unacknowledged, and a held client would never be let go.
   */
  #acknowledge() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    const tick = this.replica?.tick ?? -1;
    if (tick < 0 || this.#socket.readyState !== 1) return;
    this.#acknowledged = tick;
    new DataView(this.#ack.buffer).setUint32(1, tick, true);
    this.#send(this.#ack);
  }

  /** @param {CloseEvent} event */
  #closed(event) {
    this.#stopTimers();
    this.#options.onClose?.({ code: event.code, reason: event.reason, wasClean: event.wasClean });
  }

  #stopTimers() {
    clearTimeout(this.#ackTimer);
    clearInterval(this.#pingTimer);
  }
}

const MAX_NAME = 64;

/**
 * What an event is called in the schema.
 * @param {string} namespace
 * @param {string} event
 */
function eventName(namespace, event) {
  for (const name of [namespace, event]) {
    if (typeof name !== "string" || [...name].length > MAX_NAME) throw new RangeError(`${name} must be text of at most ${MAX_NAME} characters`);
  }
  if (namespace.includes(".") || event === "") throw new RangeError(`a namespace has no point in it, and an event isn't empty: ${namespace}, ${event}`);
  return namespace === "" ? event : `${namespace}.${event}`;
}

/**
 * Whether every number in an object is one.
 * @param {any} data
 * @returns {boolean}
 */
function allFinite(data) {
  if (typeof data === "number") return Number.isFinite(data);
  return data === null || typeof data !== "object" || ArrayBuffer.isView(data) || Object.values(data).every(allFinite);
}

/**
 * The bytes of an event: its id, then its records packed without padding.
 *
 * @param {Event} event as the schema declares it
 * @param {EventRecord[]} records
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeEvent(event, records) {
  if (records.length === 0 || records.length > MAX_RECORDS) throw new RangeError(`${records.length} records, must be 1 to ${MAX_RECORDS}`);
  let size = 0;
  for (const [name, type] of event.fields) {
    if (!Object.hasOwn(TYPES, type)) throw new WireError(`event ${event.name}: field ${name} has unknown type ${type}`);
    size += TYPES[type].width;
  }
  const bytes = new Uint8Array(1 + records.length * size);
  const view = new DataView(bytes.buffer);
  bytes[0] = event.id;
  let at = 1;
  for (const record of records) {
    for (const name of Object.keys(record)) {
      if (!event.fields.some(([known]) => known === name)) throw new RangeError(`event ${event.name} has no field ${name}`);
      if (!Number.isFinite(Number(record[name]))) throw new RangeError(`${event.name}.${name} is ${record[name]}, must be a finite number`);
    }
    for (const [name, type] of event.fields) {
      const { width, get, set } = TYPES[type];
      const value = record[name] ?? 0;
      set(view, at, value);
      const kept = get(view, at);
      // == since 1, 1n and true are the same to a user.
      if (type.startsWith("f") ? !Number.isFinite(kept) : kept != value) throw new RangeError(`${event.name}.${name} takes ${type}, not ${value}`);
      at += width;
    }
  }
  return bytes;
}
