/**
 * What an entity's followers are told besides fields: events, once each, and texts. The section behind a state frame's bit stream.
 */

import { inflate } from "./inflate.js";
import { WireError } from "./msgpack.js";
import { TYPES } from "./types.js";

/** A text is never longer, as UTF-8. */
export const MAX_TEXT_BYTES = 1024;
const MAX_EVENT_BYTES = 1024;
const MAX_TEXTS = 8;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * @typedef {{id: number, component: string, field: string, type: "str" | "bytes", channels: number}} Text
 * @typedef {{id: number, name: string, channel: number, fields: [string, string][]}} Message
 * @typedef {{name: string, handle: bigint, values: Record<string, import("./types.js").Value>}} Told
 */

/** The messages of a schema, by number. */
export class MessageLayout {
  /** @type {Map<number, Text>} */
  texts = new Map();
  /** @type {Map<number, Message & {size: number}>} */
  events = new Map();

  /**
   * @param {{kinds: {name: string, texts?: Text[]}[], messages?: Message[]}} schema
   * @throws {WireError} when it is malformed
   */
  constructor(schema) {
    for (const kind of schema.kinds) {
      const texts = kind.texts ?? [];
      if (!Array.isArray(texts) || texts.length > MAX_TEXTS) throw new WireError(`schema: texts of ${kind.name} must be a list of at most ${MAX_TEXTS}`);
      for (const text of texts) this.#addText(text);
    }
    const messages = schema.messages ?? [];
    if (!Array.isArray(messages)) throw new WireError("schema: messages must be a list");
    for (const message of messages) this.#addEvent(message);
  }

  /** @param {Text} text */
  #addText(text) {
    checkNumber(text?.id);
    const known = this.texts.get(text.id) ?? text;
    const same = known.component === text.component && known.field === text.field && known.type === text.type;
    if (!same || (text.type !== "str" && text.type !== "bytes")) throw new WireError(`schema: text ${text.id} is malformed`);
    this.texts.set(text.id, text);
  }

  /** @param {Message} message */
  #addEvent(message) {
    checkNumber(message?.id);
    if (this.texts.has(message.id) || this.events.has(message.id)) throw new WireError(`schema: message ${message.id} is two`);
    if (typeof message.name !== "string" || !Array.isArray(message.fields)) throw new WireError(`schema: message ${message.id} is malformed`);
    let size = 0;
    for (const [name, type] of message.fields) {
      if (!Object.hasOwn(TYPES, type)) throw new WireError(`schema: field ${name} of message ${message.name} has unknown type ${type}`);
      size += TYPES[type].width;
    }
    if (size === 0 || size > MAX_EVENT_BYTES) throw new WireError(`schema: message ${message.name} has ${size} bytes`);
    this.events.set(message.id, { ...message, size });
  }

  /**
   * The number of the text of that name, "Name.text".
   * @param {string} name
   * @throws {RangeError} when no kind has it
   */
  textNumber(name) {
    for (const [id, { component, field }] of this.texts) if (`${component}.${field}` === name) return id;
    throw new RangeError(`no kind has a text ${name}`);
  }
}

/** @param {any} number */
function checkNumber(number) {
  if (!Number.isInteger(number) || number < 1 || number > 255) throw new WireError(`schema: a message's number is ${number}, must be 1 to 255`);
}

/** Reads one section. */
class Section {
  /**
   * @param {Uint8Array} frame
   * @param {number} at where the section begins
   */
  constructor(frame, at) {
    this.frame = frame;
    this.at = at;
  }

  /** @param {number} n bytes */
  take(n) {
    if (this.at + n > this.frame.length) throw new WireError(`frame of ${this.frame.length} bytes ends within a message`);
    this.at += n;
    return this.frame.subarray(this.at - n, this.at);
  }

  /** A number below 2^32 by seven bits a byte, the lowest first. */
  varint() {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const [byte] = this.take(1);
      value += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw new WireError("a number in a message takes more than 32 bits");
  }
}

/**
 * Read the messages behind a frame's bit stream.
 *
 * @param {Uint8Array} frame
 * @param {number} at where they begin
 * @param {MessageLayout} layout
 * @param {number} nSlots
 * @param {(handle: bigint) => boolean} isHere whether an entity is in the list
 * @param {(handle: bigint) => boolean} mayBeTold whether an event may be of it
 * @param {(handle: bigint, number: number, text: string | Uint8Array) => void} onText
 * @returns {Told[]} the events, in order
 * @throws {WireError} when malformed
 */
export function readMessages(frame, at, layout, nSlots, isHere, mayBeTold, onText) {
  const section = new Section(frame, at);
  const n = section.varint();
  if (n === 0) throw new WireError("a section without messages");
  /** @type {Told[]} */
  const told = [];
  for (let m = 0; m < n; m++) {
    const [number] = section.take(1);
    const slot = section.varint();
    const generation = section.varint();
    if (slot >= nSlots || generation === 0) throw new WireError(`a message of slot ${slot}, generation ${generation}`);
    const handle = (BigInt(generation) << 32n) | BigInt(slot);
    const text = layout.texts.get(number);
    if (text !== undefined) {
      const length = section.varint();
      if (length > 2 * MAX_TEXT_BYTES + 1 || !isHere(handle)) throw new WireError(`a text of ${length >>> 1} bytes, of entity ${handle}`);
      const bytes = section.take(length >>> 1);
      onText(handle, number, textOf(length & 1 ? inflate(bytes, MAX_TEXT_BYTES) : bytes, text));
      continue;
    }
    const event = layout.events.get(number);
    if (event === undefined || !mayBeTold(handle)) throw new WireError(`message ${number} of entity ${handle}`);
    told.push({ name: event.name, handle, values: recordOf(section.take(event.size), event) });
  }
  if (section.at !== frame.length) throw new WireError(`frame goes on for ${frame.length - section.at} bytes after its last message`);
  return told;
}

/**
 * @param {Uint8Array} bytes
 * @param {Text} text
 */
function textOf(bytes, text) {
  if (text.type === "bytes") return bytes.slice();
  try {
    return utf8.decode(bytes);
  } catch {
    throw new WireError("a text that isn't UTF-8");
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {Message} event
 */
function recordOf(bytes, event) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  /** @type {Told["values"]} */
  const values = {};
  let at = 0;
  for (const [name, type] of event.fields) {
    const { width, get } = TYPES[type];
    values[name] = get(view, at);
    at += width;
  }
  return values;
}
