/**
 * The panel's account of the bytes: how many a second each channel or field takes, who comes and goes, and the rest.
 */

import { cssColour } from "./points.js";

/** Shares are those of so long. */
const WINDOW_MS = 2_000;

/** @typedef {import("./replica.js").Replica} Replica */
/** @typedef {{name: string, colour: string, bits: number}} Share */

/**
 * What the bits of a replica's frames were for; they add up to the frames.
 * @param {Replica} replica
 * @returns {Share[]}
 */
export function sharesOf(replica) {
  const { spent } = replica;
  return [...spent.channels.map((bits, c) => ({ name: `Channel ${c}`, colour: cssColour(c), bits })), ...others(spent)];
}

/**
 * The same with the channels' bits by field, of all kinds and channels together, while those are watched.
 * @param {Replica} replica
 * @returns {Share[]}
 */
export function fieldSharesOf(replica) {
  const { spent } = replica;
  /** @type {Map<string, number>} */
  const fields = new Map();
  for (const { component, field, bits } of spent.byField) {
    const name = `${component}.${field}`;
    fields.set(name, (fields.get(name) ?? 0) + bits);
  }
  const shares = [...fields].map(([name, bits], f) => ({ name, colour: `hsl(${(210 + 67 * f) % 360} 45% 68%)`, bits }));
  const numbers = shares.reduce((sum, { bits }) => sum + bits, 0);
  const blocks = spent.channels.reduce((sum, bits) => sum + bits, 0);
  return [...shares, { name: "Selection", colour: "#b08968", bits: blocks - numbers }, ...others(spent)];
}

/**
 * @param {import("./spent.js").Spent} spent
 * @returns {Share[]}
 */
function others(spent) {
  return [
    { name: "Come and go", colour: "#94a3b8", bits: spent.structure },
    { name: "Messages", colour: "#e2e8f0", bits: spent.messages },
    { name: "All else", colour: "#475569", bits: spent.header + spent.parameters + spent.waiting + spent.padding },
  ];
}

export class Shares {
  /** Whether what is shown is by field instead of by channel. */
  byField = false;
  #bar;
  #list;
  /** @type {{time: number, shares: Share[]}[]} */
  #samples = [];

  /**
   * @param {HTMLElement} bar
   * @param {HTMLElement} list
   */
  constructor(bar, list) {
    this.#bar = bar;
    this.#list = list;
  }

  /**
   * @param {number} now milliseconds
   * @param {Replica} replica
   */
  update(now, replica) {
    replica.spent.watchFields(this.byField);
    const shares = this.byField ? fieldSharesOf(replica) : sharesOf(replica);
    const samples = this.#samples;
    const before = samples.at(-1)?.shares;
    if (before !== undefined && shares.some(({ name, bits }, s) => name !== before[s]?.name || bits < before[s].bits)) samples.length = 0;
    samples.push({ time: now, shares });
    while (samples.length > 2 && now - samples[0].time > WINDOW_MS) samples.shift();
    const first = samples[0];
    const seconds = (now - first.time) / 1000;
    if (seconds <= 0) return;
    const rates = shares.map(({ name, colour, bits }, s) => ({ name, colour, bytes: (bits - first.shares[s].bits) / 8 / seconds }));
    this.#show(rates.filter(({ bytes }) => bytes > 0));
  }

  /** @param {{name: string, colour: string, bytes: number}[]} rates a second */
  #show(rates) {
    const total = Math.max(1e-9, rates.reduce((sum, { bytes }) => sum + bytes, 0));
    const document = this.#list.ownerDocument;
    this.#bar.replaceChildren(...rates.map(({ colour, bytes }) => {
      const part = document.createElement("i");
      part.style.width = `${(100 * bytes) / total}%`;
      part.style.background = colour;
      return part;
    }));
    this.#list.replaceChildren(...rates.map(({ name, colour, bytes }) => {
      const row = document.createElement("div");
      const term = row.appendChild(document.createElement("dt"));
      term.appendChild(document.createElement("i")).style.background = colour;
      term.append(name);
      term.title = name;
      const value = row.appendChild(document.createElement("dd"));
      value.append(bytes < 1_000 ? `${Math.round(bytes)} B/s` : `${(bytes / 1e3).toFixed(1)} kB/s`);
      value.appendChild(document.createElement("span")).textContent = `${((100 * bytes) / total).toFixed(0)} %`;
      return row;
    }));
  }
}
