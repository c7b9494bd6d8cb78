/**
 * The schema of a welcome message, checked once and laid out in flat arrays for the decoder.
 */

import { WireError } from "./msgpack.js";

/** The fields of a group share a record of at most so many codes. */
export const MAX_FIELDS = 4;
export const MAX_GROUPS = 8;
export const MAX_CHANNELS = 8;
/** An entity's kind is a byte. */
export const MAX_KINDS = 255;
/** Entries of a list; a page that draws more has other problems. */
export const MAX_FOLLOWED = 1 << 20;
/** A slot is the lower half of a handle. */
export const MAX_SLOTS = 2 ** 32;

/** A profile's number and a channel's make one byte. */
export const MAX_PROFILES = 31;

/** How an integer becomes a value; see values.js. */
const CODECS = ["quantised", "integer", "bits", "angle", "rotation", "packed"];

/** No channel carries the group. */
export const NO_CHANNEL = 255;
/** A predictor's order: the last value and its last difference. */
export const LINEAR = 2;
/** Periods double so many times at most. */
export const MAX_RATE = 3;

/**
 * @typedef {{name: string, type: string, offset: number, width: number, low: number | bigint, high: number | bigint}} Part
 * @typedef {{name: string, type: string, codec: string, params: ([number, number] | null)[], parts?: Part[]}} Field
 * @typedef {{component: string, channels: number, fields: Field[]}} Group
 * @typedef {{period: number, slowest?: number, radius: number, frequency: number}} Channel
 * @typedef {import("./messages.js").Text} Text
 * @typedef {import("./messages.js").Message} Message
 * @typedef {{name: string, profile?: string, position: string, channels: (Channel | null)[], groups: Group[], texts?: Text[]}} Kind
 * @typedef {{id: number, name: string, fields: [string, string][]}} Event
 * @typedef {{n_slots: number, n_channels: number, max_followed: number, kinds: Kind[], events?: Event[], messages?: Message[]}} Schema
 */

/**
 * Refuse what the decoder could not stay within bounds with.
 * @param {boolean} condition
 * @param {string} message
 * @returns {asserts condition}
 */
function require(condition, message) {
  if (!condition) throw new WireError(`schema: ${message}`);
}

/**
 * @param {any} value
 * @param {number} low
 * @param {number} high
 * @param {string} name
 */
function requireInteger(value, low, high, name) {
  require(Number.isInteger(value) && value >= low && value <= high, `${name} is ${value}, must be an integer from ${low} to ${high}`);
}

/** Where everything of a schema stands in flat arrays. */
export class Layout {
  /**
   * @param {Schema} schema
   * @throws {WireError} when it isn't one, or is larger than the limits above
   */
  constructor(schema) {
    require(typeof schema === "object" && schema !== null, `is ${typeof schema}, must be a map`);
    requireInteger(schema.n_slots, 1, MAX_SLOTS, "n_slots");
    requireInteger(schema.n_channels, 1, MAX_CHANNELS, "n_channels");
    requireInteger(schema.max_followed, 1, MAX_FOLLOWED, "max_followed");
    require(Array.isArray(schema.kinds) && schema.kinds.length <= MAX_KINDS, `kinds must be a list of at most ${MAX_KINDS}`);
    this.schema = schema;
    this.nKinds = schema.kinds.length;
    this.nChannels = schema.n_channels;
    for (const kind of schema.kinds) checkKind(kind, this.nChannels);

    const n = this.nKinds;
    /** Integers per entry: the fields of the kind that has most. */
    this.stride = Math.max(1, ...schema.kinds.map(countFields));
    this.nGroups = Uint8Array.from(schema.kinds, (kind) => kind.groups.length);
    /** Ticks between two due ones by kind * C + channel; 0 where the kind lacks the channel. */
    this.period = new Uint32Array(n * this.nChannels);
    /** How many times each of them can double. */
    this.slowest = new Uint8Array(n * this.nChannels);
    /** The bits of the channels that the kind has. */
    this.channels = new Uint8Array(n);
    /** By kind * MAX_GROUPS + group: fields, and the first one's place within an entry. */
    this.nFields = new Uint8Array(n * MAX_GROUPS);
    this.fieldBase = new Uint8Array(n * MAX_GROUPS);
    /** By (kind * 256 + mask) * MAX_GROUPS + group: the channel that carries it. */
    this.carrier = new Uint8Array(n * 256 * MAX_GROUPS).fill(NO_CHANNEL);
    schema.kinds.forEach((kind, k) => this.#layOutKind(kind, k));

    /** By kind: the number of its first profile, and how many it has. */
    this.firstProfile = new Uint8Array(n);
    this.nProfiles = new Uint8Array(n);
    this.#findProfiles(schema.kinds);

    /** Number of Rice parameters. */
    this.nParameters = this.nChannels * schema.kinds.reduce((sum, kind) => sum + countFields(kind), 0);
    /** By (kind * C + channel) * MAX_GROUPS + group: the number of the first field's Rice parameter. */
    this.parameter = new Uint32Array(n * this.nChannels * MAX_GROUPS);
    /** By parameter: order of the predictor, and the value of one step of q. */
    this.order = new Uint8Array(this.nParameters);
    this.scale = new Float64Array(this.nParameters).fill(NaN);
    this.#layOutParameters(schema.kinds);
  }

  /**
   * @param {Kind} kind
   * @param {number} k its number
   */
  #layOutKind(kind, k) {
    kind.channels.forEach((channel, c) => {
      if (channel === null) return;
      this.period[k * this.nChannels + c] = channel.period;
      this.slowest[k * this.nChannels + c] = channel.slowest ?? 0;
      this.channels[k] |= 1 << c;
    });
    let base = 0;
    kind.groups.forEach((group, j) => {
      this.nFields[k * MAX_GROUPS + j] = group.fields.length;
      this.fieldBase[k * MAX_GROUPS + j] = base;
      base += group.fields.length;
      for (let mask = 0; mask < 256; mask++) {
        const common = mask & group.channels;
        if (common !== 0) this.carrier[(k * 256 + mask) * MAX_GROUPS + j] = 31 - Math.clz32(common & -common);
      }
    });
  }

  /**
   * As `period`, at a rate: each doubles with it, up to its slowest.
   * @param {number} rate
   */
  periodsAt(rate) {
    return this.period.map((period, at) => period * 2 ** Math.min(rate, this.slowest[at]));
  }

  /** @param {Kind[]} kinds */
  #findProfiles(kinds) {
    let first = 0;
    kinds.forEach((kind, k) => {
      const same = kind.profile !== undefined && kinds[first].profile !== undefined && kind.name === kinds[first].name;
      if (!same) first = k;
      require(!same || namesOf(kind) === namesOf(kinds[first]), `profiles of ${kind.name} must have the same fields`);
      require(k - first < MAX_PROFILES, `${kind.name} has more than ${MAX_PROFILES} profiles`);
      this.firstProfile[k] = first;
      this.nProfiles.fill(k - first + 1, first, k + 1);
    });
  }

  /**
   * Number the parameters: kinds outermost, then channels, then groups, then fields.
   * @param {Kind[]} kinds
   */
  #layOutParameters(kinds) {
    let number = 0;
    kinds.forEach((kind, k) => {
      for (let c = 0; c < this.nChannels; c++) {
        kind.groups.forEach((group, j) => {
          this.parameter[(k * this.nChannels + c) * MAX_GROUPS + j] = number;
          for (const field of group.fields) {
            const params = field.params[c];
            if (params !== null) [this.order[number], this.scale[number]] = params;
            number++;
          }
        });
      }
    });
  }

  /**
   * Where a field stands in a kind, or null if it has none of that name.
   * @param {number} kind
   * @param {string} component
   * @param {string} field
   */
  find(kind, component, field) {
    const groups = this.schema.kinds[kind].groups;
    for (let group = 0; group < groups.length; group++) {
      if (groups[group].component !== component) continue;
      const base = this.fieldBase[kind * MAX_GROUPS + group];
      for (const [index, { name, codec, type, parts }] of groups[group].fields.entries()) {
        const part = codec === "packed" ? /** @type {Part[]} */ (parts).find((p) => p.name === field) : undefined;
        if (part === undefined && (codec === "packed" || name !== field)) continue;
        return { group, index, base, offset: base + index, codec, type: part?.type ?? type, part };
      }
    }
    return null;
  }
}

/**
 * The fields of a kind's groups, as text to compare.
 * @param {Kind} kind
 */
function namesOf(kind) {
  return JSON.stringify(kind.groups.map((group) => [group.component, ...group.fields.map((field) => field.name)]));
}

/** @param {Kind} kind */
function countFields(kind) {
  return kind.groups.reduce((sum, group) => sum + group.fields.length, 0);
}

/**
 * @param {Kind} kind
 * @param {number} nChannels
 */
function checkKind(kind, nChannels) {
  require(typeof kind === "object" && kind !== null && typeof kind.name === "string", "a kind must be a map with a name");
  const { name, channels, groups } = kind;
  require(Array.isArray(channels) && channels.length === nChannels, `channels of ${name} must be a list of ${nChannels}`);
  for (const channel of channels) {
    if (channel === null) continue;
    requireInteger(channel?.period, 1, 2 ** 31, `a period of ${name}`);
    requireInteger(channel.slowest ?? 0, 0, MAX_RATE, `the slowest rate of a channel of ${name}`);
  }
  require(Array.isArray(groups) && groups.length <= MAX_GROUPS, `groups of ${name} must be a list of at most ${MAX_GROUPS}`);
  for (const group of groups) checkGroup(group, name, channels);
}

/**
 * @param {Group} group
 * @param {string} name of the kind
 * @param {(Channel | null)[]} channels of the kind
 */
function checkGroup(group, name, channels) {
  require(typeof group === "object" && group !== null, `a group of ${name} must be a map`);
  const { component, fields } = group;
  requireInteger(group.channels, 0, 2 ** channels.length - 1, `channels of ${name}.${component}`);
  require(Array.isArray(fields) && fields.length <= MAX_FIELDS, `fields of ${name}.${component} must be a list of at most ${MAX_FIELDS}`);
  const rotations = fields.filter((field) => field?.codec === "rotation").length;
  require(rotations === 0 || (rotations === MAX_FIELDS && fields.length === MAX_FIELDS), `a rotation of ${name}.${component} must be a group`);
  for (const field of fields) {
    const path = `${name}.${component}.${field?.name}`;
    const params = field?.params;
    require(CODECS.includes(field?.codec), `codec of ${path} is ${field?.codec}`);
    if (field.codec === "packed") checkParts(field.parts, path);
    require(Array.isArray(params) && params.length === channels.length, `params of ${path} must be a list of ${channels.length}`);
    for (let c = 0; c < params.length; c++) {
      if ((group.channels >> c) & 1) {
        require(channels[c] !== null, `${path} travels on channel ${c}, which ${name} lacks`);
        require(Array.isArray(params[c]), `${path} has no params for channel ${c}`);
      }
      if (params[c] !== null) requireInteger(params[c]?.[0], 0, 3, `order of ${path}`);
    }
  }
}

/**
 * @param {any} parts of a packed field
 * @param {string} path
 */
function checkParts(parts, path) {
  require(Array.isArray(parts), `parts of ${path} must be a list`);
  for (const part of parts) {
    require(typeof part?.name === "string" && typeof part.type === "string", `a part of ${path} must have a name and a type`);
    requireInteger(part.offset, 0, 32, `offset of ${path}.${part.name}`);
    requireInteger(part.width, 0, 32 - part.offset, `width of ${path}.${part.name}`);
    require(["number", "bigint"].includes(typeof part.low), `low of ${path}.${part.name} must be a number`);
  }
}
