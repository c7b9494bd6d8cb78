/**
 * What is drawn over the points: grid, the world's bounds, interest rings, and marks on the observer and on what is followed.
 */

import { cssColour } from "./points.js";

const FONT = '500 11px ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif';

/** Grid lines are at least so many pixels apart. */
const MIN_GRID_PX = 70;

/** @typedef {import("./camera.js").Camera} Camera */
/** @typedef {{kind: number, channel: number, radius: number, frequency: number}} Ring */

/**
 * The circles around an observer within which it hears of entities, the widest first.
 *
 * Kinds differ in their radii. Those of the kind with the most layers are all there; of others only what lies elsewhere.
 * @param {import("./schema.js").Schema} schema
 * @returns {Ring[]}
 */
export function ringsOf(schema) {
  /** @type {Map<number, Ring>} */
  const rings = new Map();
  const layersOf = (/** @type {import("./schema.js").Kind} */ kind) => kind.channels.filter((channel) => channel !== null).length;
  for (const [k, kind] of [...schema.kinds.entries()].sort(([, a], [, b]) => layersOf(b) - layersOf(a))) {
    kind.channels.forEach((channel, c) => {
      if (channel === null || rings.has(channel.radius)) return;
      rings.set(channel.radius, { kind: k, channel: c, radius: channel.radius, frequency: channel.frequency });
    });
  }
  return [...rings.values()].sort((a, b) => b.radius - a.radius);
}

/**
 * How many times more seldom than its layer says a ring's channel is due now.
 * @param {import("./replica.js").Replica | null} replica
 * @param {Ring} ring
 */
export function slowdownOf(replica, { kind, channel }) {
  if (replica === null) return 1;
  const at = kind * replica.layout.nChannels + channel;
  return replica.period[at] / replica.layout.period[at];
}

export class Overlay {
  #canvas;
  #context;
  #ratio = 1;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  /**
   * Clear, and set the scale to CSS pixels.
   * @param {number} ratio device pixels per CSS pixel
   */
  begin(ratio) {
    this.#ratio = ratio;
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = FONT;
    context.textBaseline = "middle";
  }

  /**
   * @param {Camera} camera
   * @param {number[] | null} bounds x0, y0, x1, y1
   */
  grid(camera, bounds) {
    const context = this.#context;
    const step = niceStep(MIN_GRID_PX / camera.scale);
    const low = camera.toWorld(0, camera.height);
    const high = camera.toWorld(camera.width, 0);
    context.lineWidth = 1 / this.#ratio;
    context.strokeStyle = "rgb(148 163 184 / 0.07)";
    context.beginPath();
    for (let x = Math.ceil(low.x / step) * step; x <= high.x; x += step) this.#line(camera.toScreen(x, 0).x, 0, 0, camera.height);
    for (let y = Math.ceil(low.y / step) * step; y <= high.y; y += step) this.#line(0, camera.toScreen(0, y).y, camera.width, 0);
    context.stroke();
    if (bounds === null) return;
    const corner = camera.toScreen(bounds[0], bounds[3]);
    context.strokeStyle = "rgb(148 163 184 / 0.35)";
    context.lineWidth = 1;
    context.strokeRect(corner.x, corner.y, (bounds[2] - bounds[0]) * camera.scale, (bounds[3] - bounds[1]) * camera.scale);
  }

  /**
   * The regions of the server's search: the fuller, the brighter; split ones with their parts.
   * @param {Camera} camera
   * @param {number[][]} regions x0, y0, x1, y1, entities, depth
   */
  cells(camera, regions) {
    const context = this.#context;
    const most = Math.max(1, ...regions.map((region) => region[4]));
    context.textAlign = "left";
    for (const [x0, y0, x1, y1, count, depth] of regions) {
      const { x, y } = camera.toScreen(x0, y1);
      const [width, height] = [(x1 - x0) * camera.scale, (y1 - y0) * camera.scale];
      if (x > camera.width || y > camera.height || x + width < 0 || y + height < 0) continue;
      context.fillStyle = `rgb(129 161 255 / ${(0.02 + (0.16 * count) / most).toFixed(3)})`;
      context.fillRect(x, y, width, height);
      context.strokeStyle = "rgb(129 161 255 / 0.28)";
      context.lineWidth = 1;
      context.beginPath();
      context.rect(x, y, width, height);
      const parts = 2 ** depth;
      for (let part = 1; part < parts && width / parts > 6; part++) {
        this.#line(x + (part * width) / parts, y, 0, height);
        this.#line(x, y + (part * height) / parts, width, 0);
      }
      context.stroke();
      if (width < 44) continue;
      this.#label(String(count), x + 3, y + 3);
    }
  }

  /**
   * A region's number, readable over what is drawn there.
   * @param {string} text
   * @param {number} x
   * @param {number} y
   */
  #label(text, x, y) {
    const context = this.#context;
    context.fillStyle = "rgb(10 14 22 / 0.7)";
    context.fillRect(x, y, context.measureText(text).width + 8, 16);
    context.fillStyle = "rgb(176 196 255 / 0.9)";
    context.fillText(text, x + 4, y + 8.5);
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} dx
   * @param {number} dy
   */
  #line(x, y, dx, dy) {
    this.#context.moveTo(x, y);
    this.#context.lineTo(x + dx, y + dy);
  }

  /**
   * @param {Camera} camera
   * @param {{x: number, y: number}} centre world
   * @param {Ring[]} rings
   * @param {import("./replica.js").Replica | null} replica whose rates are told
   */
  rings(camera, centre, rings, replica) {
    const context = this.#context;
    const { x, y } = camera.toScreen(centre.x, centre.y);
    context.textAlign = "center";
    for (const ring of rings) {
      const { channel, radius, frequency } = ring;
      const r = radius * camera.scale;
      if (!Number.isFinite(r) || r < 8) continue;
      context.beginPath();
      context.arc(x, y, r, 0, 2 * Math.PI);
      context.fillStyle = cssColour(channel, 0.025);
      context.fill();
      context.strokeStyle = cssColour(channel, 0.4);
      context.lineWidth = 1.25;
      context.stroke();
      if (r < 48) continue;
      const text = `${round(frequency / slowdownOf(replica, ring))} Hz`;
      const width = context.measureText(text).width + 12;
      context.fillStyle = "rgb(10 14 22 / 0.85)";
      context.fillRect(x - width / 2, y - r - 8, width, 16);
      context.fillStyle = cssColour(channel, 0.95);
      context.fillText(text, x, y - r + 0.5);
    }
  }

  /**
   * The observer's own entity.
   * @param {Camera} camera
   * @param {{x: number, y: number}} place world
   * @param {{x: number, y: number}} direction where it is steered to
   */
  self(camera, place, direction) {
    const context = this.#context;
    const { x, y } = camera.toScreen(place.x, place.y);
    context.beginPath();
    context.arc(x, y, 5, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.shadowColor = "rgb(255 255 255 / 0.8)";
    context.shadowBlur = 12;
    context.fill();
    context.shadowBlur = 0;
    if (direction.x === 0 && direction.y === 0) return;
    context.beginPath();
    context.moveTo(x + direction.x * 11, y - direction.y * 11);
    context.lineTo(x + direction.x * 24, y - direction.y * 24);
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.lineCap = "round";
    context.stroke();
  }

  /**
   * What the camera follows.
   * @param {Camera} camera
   * @param {{x: number, y: number}} place world
   */
  mark(camera, place) {
    const context = this.#context;
    const { x, y } = camera.toScreen(place.x, place.y);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    for (let corner = 0; corner < 4; corner++) {
      context.beginPath();
      context.arc(x, y, 11, corner * (Math.PI / 2) + 0.3, (corner + 1) * (Math.PI / 2) - 0.3);
      context.stroke();
    }
  }
}

/**
 * The least of 1, 2, 5 × 10ⁿ that is not below `least`.
 * @param {number} least
 */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  for (const factor of [1, 2, 5]) if (factor * power >= least) return factor * power;
  return 10 * power;
}

/** @param {number} value */
function round(value) {
  return Number(value.toPrecision(3));
}
