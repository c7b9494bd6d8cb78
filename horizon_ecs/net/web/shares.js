/**
 * The panel's account of the bytes: how many a second each channel takes, who comes and goes, and the rest.
 */

import { cssColour } from "./points.js";

/** Shares are those of so long. */
const WINDOW_MS = 2_000;

/** @typedef {import("./replica.js").Replica} Replica */
/** @typedef {{name: string, colour: string, bits: number}} Share */

/**
 * What the bits of a replica's frames were for.
 * @param {Replica} replica
 * @returns {Share[]}
 */
export function sharesOf(replica) {
  const { spent } = replica;
  return [
    ...spent.channels.map((bits, c) => ({ name: `Channel ${c}`, colour: cssColour(c), bits })),
    { name: "Come and go", colour: "#94a3b8", bits: spent.structure },
    { name: "Messages", colour: "#e2e8f0", bits: spent.messages },
    { name: "All else", colour: "#475569", bits: spent.header + spent.parameters + spent.waiting + spent.padding },
  ];
}

export class Shares {
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
    const shares = sharesOf(replica);
    const samples = this.#samples;
    const before = samples.at(-1)?.shares;
    if (before !== undefined && shares.some(({ bits }, s) => before[s] === undefined || bits < before[s].bits)) samples.length = 0;
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
      const value = row.appendChild(document.createElement("dd"));
      value.append(bytes < 1_000 ? `${Math.round(bytes)} B/s` : `${(bytes / 1e3).toFixed(1)} kB/s`);
      value.appendChild(document.createElement("span")).textContent = `${((100 * bytes) / total).toFixed(0)} %`;
      return row;
    }));
  }
}
