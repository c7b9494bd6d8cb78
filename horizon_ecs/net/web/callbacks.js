/**
 * Callbacks: who entered, changed and left with a frame, told one by one or as arrays. No I/O.
 */

/** @typedef {import("./replica.js").Replica} Replica */
/** @typedef {(handle: bigint, row: number) => void} OnRow */
/** @typedef {(handle: bigint) => void} OnLeave */
/** @typedef {(name: string, handle: bigint, values: Record<string, number | bigint | boolean>) => void} OnEvent */
/** @typedef {(namespace: string, event: string, data: any) => void} OnServerEvent */
/** @typedef {{call: Function, of: string | undefined}} Told */

/**
 * Tells of each frame who entered, who changed, what happened and who left, in this order.
 *
 * What is followed is compared with what was followed when it was last told. So a reset frame, or another connection to the same server,
 * tells only who has really come and gone; and nobody is told of as changed in the frame that they entered with.
 */
export class Callbacks {
  /** Rows of the replica's list, as of the last `frame`; nothing is compared before any function is registered. @type {number[]} */
  entered = [];
  /** Only with an `onUpdate`. @type {number[]} */
  updated = [];
  /** Handles. @type {bigint[]} */
  left = [];

  /** @type {{enter: Told[], update: Told[], event: Told[], leave: Told[]}} */
  #told = { enter: [], update: [], event: [], leave: [] };
  /** @type {{call: OnServerEvent, namespace: string | undefined, event: string | undefined}[]} */
  #said = [];
  /** What was followed, when it was last told: slots to rows, and the rest by row. @type {Map<number, number>} */
  #rows = new Map();
  #n = 0;
  #slot = new Uint32Array(0);
  #generation = new Uint32Array(0);
  /** @type {string[]} */
  #kind = [];
  #q = new Int32Array(0);
  /** Whether `#q` holds what the table had. */
  #compared = false;
  /** @type {import("./schema.js").Schema | null} */
  #schema = null;

  /**
   * Call for each that enters, or each of a kind.
   * @param {OnRow} call
   * @param {{kind?: string}} [options]
   */
  onEnter(call, { kind } = {}) {
    return this.#on(this.#told.enter, call, kind);
  }

  /**
   * Call for each that a frame changed.
   * @param {OnRow} call
   * @param {{kind?: string}} [options]
   */
  onUpdate(call, { kind } = {}) {
    return this.#on(this.#told.update, call, kind);
  }

  /**
   * Call for each event of an entity, or each of a name.
   * @param {OnEvent} call
   * @param {{name?: string}} [options]
   */
  onEvent(call, { name } = {}) {
    return this.#on(this.#told.event, call, name);
  }

  /**
   * Call for each that left.
   * @param {OnLeave} call
   * @param {{kind?: string}} [options]
   */
  onLeave(call, { kind } = {}) {
    return this.#on(this.#told.leave, call, kind);
  }

  /**
   * Call for what the server's application says, or what it says under these names.
   * @param {OnServerEvent} call
   * @param {{namespace?: string, event?: string}} [options]
   */
  onServerEvent(call, { namespace, event } = {}) {
    this.#said.push({ call, namespace, event });
    return call;
  }

  /**
   * Tell what the server's application said.
   * @param {string} namespace
   * @param {string} event
   * @param {any} data
   */
  said(namespace, event, data) {
    for (const { call, ...of } of this.#said) {
      if ((of.namespace ?? namespace) === namespace && (of.event ?? event) === event) call(namespace, event, data);
    }
  }

  /**
   * @template {Function} F
   * @param {Told[]} told
   * @param {F} call
   * @param {string | undefined} of
   * @returns {F}
   */
  #on(told, call, of) {
    told.push({ call, of });
    return call;
  }

  /**
   * Call a function no more, wherever it was registered.
   * @param {Function} call
   */
  off(call) {
    const kept = (/** @type {Told[]} */ told) => told.filter((one) => one.call !== call);
    const { enter, update, event, leave } = this.#told;
    this.#told = { enter: kept(enter), update: kept(update), event: kept(event), leave: kept(leave) };
    this.#said = this.#said.filter((one) => one.call !== call);
  }

  /**
   * Tell what a frame brought.
   * @param {Replica} replica after it applied the frame
   * @throws {RangeError} a kind that was asked for doesn't exist
   */
  frame(replica) {
    if (replica.schema !== this.#schema) this.#require(replica.schema);
    this.#schema = replica.schema;
    const { enter, update, event, leave } = this.#told;
    if (enter.length + update.length + event.length + leave.length === 0) return;
    const kindsLeft = this.#compare(replica);
    this.#tellRows(enter, this.entered, replica);
    this.#tellRows(update, this.updated, replica);
    for (const { name, handle, values } of event.length > 0 ? replica.messages : []) {
      for (const { call, of } of event) if (of === undefined || of === name) call(name, handle, values);
    }
    for (const { call, of } of leave) {
      this.left.forEach((handle, l) => (of === undefined || of === kindsLeft[l]) && call(handle));
    }
  }

  /** @param {import("./schema.js").Schema} schema */
  #require({ kinds }) {
    const names = new Set(kinds.map(({ name }) => name));
    for (const { of } of [...this.#told.enter, ...this.#told.update, ...this.#told.leave]) {
      if (of !== undefined && !names.has(of)) throw new RangeError(`no kind is called ${of} (there are ${[...names].sort().join(", ")})`);
    }
  }

  /**
   * @param {Told[]} told
   * @param {number[]} rows
   * @param {Replica} replica
   */
  #tellRows(told, rows, replica) {
    for (const { call, of } of told) {
      for (const row of rows) if (of === undefined || of === this.#kind[row]) call(replica.handle(row), row);
    }
  }

  /**
   * Find what entered, changed and left; return the kinds of those that left.
   * @param {Replica} replica
   */
  #compare(replica) {
    this.entered = [];
    this.updated = [];
    this.left = [];
    /** @type {string[]} */
    const kindsLeft = [];
    if (this.#isSame(replica)) for (let i = 0; i < replica.n; i++) this.#compareRow(replica, i, i);
    else {
      for (let i = 0; i < replica.n; i++) {
        const before = this.#rows.get(replica.slot[i]);
        if (before === undefined || this.#generation[before] !== replica.generation[i]) this.entered.push(i);
        else {
          this.#rows.delete(replica.slot[i]);
          this.#compareRow(replica, i, before);
        }
      }
      for (const [slot, before] of [...this.#rows].sort((a, b) => a[1] - b[1])) {
        this.left.push((BigInt(this.#generation[before]) << 32n) | BigInt(slot));
        kindsLeft.push(this.#kind[before]);
      }
      this.#rememberList(replica);
    }
    this.#rememberValues(replica);
    return kindsLeft;
  }

  /**
   * Whether the same are followed in the same order.
   * @param {Replica} replica
   */
  #isSame(replica) {
    if (replica.n !== this.#n) return false;
    for (let i = 0; i < replica.n; i++) {
      if (replica.slot[i] !== this.#slot[i] || replica.generation[i] !== this.#generation[i]) return false;
    }
    return true;
  }

  /**
   * @param {Replica} replica
   * @param {number} i its row
   * @param {number} before the row that it had
   */
  #compareRow(replica, i, before) {
    if (!this.#compared) return;
    const { stride } = replica.layout;
    for (let f = 0; f < stride; f++) {
      if (replica.q[i * stride + f] === this.#q[before * stride + f]) continue;
      this.updated.push(i);
      return;
    }
  }

  /** @param {Replica} replica */
  #rememberList(replica) {
    const { n } = replica;
    this.#n = n;
    this.#slot = replica.slot.slice(0, n);
    this.#generation = replica.generation.slice(0, n);
    this.#kind = Array.from(replica.kind.subarray(0, n), (k) => replica.schema.kinds[k].name);
    this.#rows = new Map();
    for (let i = 0; i < n; i++) this.#rows.set(replica.slot[i], i);
  }

  /**
   * Only where anybody is to be told of what changes.
   * @param {Replica} replica
   */
  #rememberValues(replica) {
    this.#compared = this.#told.update.length > 0;
    if (!this.#compared) return;
    const size = replica.n * replica.layout.stride;
    if (this.#q.length < size) this.#q = new Int32Array(2 * size);
    this.#q.set(replica.q.subarray(0, size));
  }
}

/**
 * The callbacks of a client's options, with the functions that are given by themselves.
 * @param {{callbacks?: Callbacks, onEnter?: OnRow, onUpdate?: OnRow, onEvent?: OnEvent, onLeave?: OnLeave, onServerEvent?: OnServerEvent}} options
 */
export function callbacksOf({ callbacks = new Callbacks(), onEnter, onUpdate, onEvent, onLeave, onServerEvent }) {
  if (onEnter !== undefined) callbacks.onEnter(onEnter);
  if (onUpdate !== undefined) callbacks.onUpdate(onUpdate);
  if (onEvent !== undefined) callbacks.onEvent(onEvent);
  if (onLeave !== undefined) callbacks.onLeave(onLeave);
  if (onServerEvent !== undefined) callbacks.onServerEvent(onServerEvent);
  return callbacks;
}
