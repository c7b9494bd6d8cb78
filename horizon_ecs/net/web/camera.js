/**
 * The view: what part of the world is on screen, and the gestures that change it. World y points up.
 */

const MIN_SCALE = 1e-3;
const MAX_SCALE = 1e3;

/** A press that moves less and ends sooner is a click. */
const CLICK_PX = 6;
const CLICK_MS = 500;

/** How fast the camera closes in on what it follows, per second. */
const EASE_PER_S = 7;

export class Camera {
  x = 0;
  y = 0;
  /** CSS pixels per world unit. */
  scale = 1;
  /** Of the view, in CSS pixels. */
  width = 1;
  height = 1;
  /** @type {bigint | null} the entity that the camera keeps in the middle */
  follow = null;
  /** Set by hand: from then on nothing is fitted by itself. */
  touched = false;

  /**
   * @param {number} x world
   * @param {number} y world
   */
  toScreen(x, y) {
    return { x: this.width / 2 + (x - this.x) * this.scale, y: this.height / 2 - (y - this.y) * this.scale };
  }

  /**
   * @param {number} x CSS pixels
   * @param {number} y CSS pixels
   */
  toWorld(x, y) {
    return { x: this.x + (x - this.width / 2) / this.scale, y: this.y - (y - this.height / 2) / this.scale };
  }

  /**
   * @param {number} dx CSS pixels
   * @param {number} dy CSS pixels
   */
  pan(dx, dy) {
    this.follow = null;
    this.touched = true;
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
  }

  /**
   * Zoom about a point of the screen, or about the middle while following.
   * @param {number} factor
   * @param {number} x CSS pixels
   * @param {number} y CSS pixels
   */
  zoom(factor, x, y) {
    this.touched = true;
    const before = this.toWorld(x, y);
    this.scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, this.scale * factor));
    if (this.follow !== null) return;
    const after = this.toWorld(x, y);
    this.x += before.x - after.x;
    this.y += before.y - after.y;
  }

  /**
   * Show a rectangle of the world with a margin around it.
   * @param {number[]} bounds x0, y0, x1, y1
   */
  fit([x0, y0, x1, y1]) {
    this.x = (x0 + x1) / 2;
    this.y = (y0 + y1) / 2;
    const scale = Math.min(this.width / (x1 - x0), this.height / (y1 - y0)) * 0.92;
    if (scale > 0 && Number.isFinite(scale)) this.scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, scale));
  }

  /**
   * Close in on what is followed.
   * @param {{x: number, y: number}} target
   * @param {number} dt seconds
   */
  track(target, dt) {
    const distance = Math.hypot(target.x - this.x, target.y - this.y) * this.scale;
    // Within a few pixels the camera is locked on, or what moves would run ahead of it.
    const part = distance < 4 || distance > 4 * this.width ? 1 : 1 - Math.exp(-EASE_PER_S * dt);
    this.x += (target.x - this.x) * part;
    this.y += (target.y - this.y) * part;
  }
}

/**
 * Drag pans, wheel and pinch zoom, a click picks; a drag with shift goes to `onDirect`.
 *
 * @param {HTMLElement} element
 * @param {Camera} camera
 * @param {{onClick: (x: number, y: number) => void, onDirect: (point: {x: number, y: number} | null) => void}} handlers
 */
export function listenToGestures(element, camera, { onClick, onDirect }) {
  /** @type {Map<number, {x: number, y: number}>} */
  const fingers = new Map();
  let start = { x: 0, y: 0, time: 0 };
  let travelled = 0;
  let directing = false;

  const point = (/** @type {MouseEvent} */ event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, point(event));
    if (fingers.size > 1) return;
    start = { ...point(event), time: event.timeStamp };
    travelled = 0;
    directing = event.shiftKey;
    if (directing) onDirect(start);
  });

  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (before === undefined) return;
    const now = point(event);
    fingers.set(event.pointerId, now);
    travelled = Math.max(travelled, Math.hypot(now.x - start.x, now.y - start.y));
    if (directing) onDirect(now);
    else if (fingers.size === 1 && travelled >= CLICK_PX) camera.pan(now.x - before.x, now.y - before.y);
    else if (fingers.size === 2) pinch(camera, fingers, event.pointerId, before);
  });

  const release = (/** @type {PointerEvent} */ event) => {
    const clicked = fingers.size === 1 && travelled < CLICK_PX && event.timeStamp - start.time < CLICK_MS;
    if (!fingers.delete(event.pointerId)) return;
    if (directing) onDirect(null);
    else if (clicked && event.type === "pointerup") onClick(start.x, start.y);
    directing = false;
    travelled = Infinity;
  };
  element.addEventListener("pointerup", release);
  element.addEventListener("pointercancel", release);

  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const { x, y } = point(event);
    camera.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.0016), x, y);
  }, { passive: false });
}

/**
 * @param {Camera} camera
 * @param {Map<number, {x: number, y: number}>} fingers
 * @param {number} moved the finger that did
 * @param {{x: number, y: number}} before where it was
 */
function pinch(camera, fingers, moved, before) {
  const now = /** @type {{x: number, y: number}} */ (fingers.get(moved));
  for (const [id, other] of fingers) {
    if (id === moved) continue;
    const factor = Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    camera.zoom(factor, (now.x + other.x) / 2, (now.y + other.y) / 2);
  }
}
