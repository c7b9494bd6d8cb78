/**
 * What the user wants the observer's entity to do: a unit vector from arrow keys, WASD, a drag with shift, or the on-screen stick.
 */

/** Sent on change, but not more often than 20 times a second. */
const INTERVAL_MS = 50;

/** Directions closer than this are the same. */
const SAME = 0.02;

/** @type {Record<string, [number, number]>} by key code, so that it works on every keyboard */
const KEYS = {
  ArrowLeft: [-1, 0], KeyA: [-1, 0],
  ArrowRight: [1, 0], KeyD: [1, 0],
  ArrowUp: [0, 1], KeyW: [0, 1],
  ArrowDown: [0, -1], KeyS: [0, -1],
};

export class Steering {
  #held = new Set();
  /** @type {{x: number, y: number} | null} */
  #pointed = null;
  #sent = { x: 0, y: 0 };
  #sentAt = -Infinity;
  #send;

  /** @param {(direction: {x: number, y: number}) => boolean} send returns whether it went out */
  constructor(send) {
    this.#send = send;
  }

  /** @param {Window} target */
  listen(target) {
    target.addEventListener("keydown", (event) => {
      if (!(event.code in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#held.add(event.code);
    });
    target.addEventListener("keyup", (event) => this.#held.delete(event.code));
    // Keys that are let go elsewhere are never reported.
    target.addEventListener("blur", () => {
      this.#held.clear();
      this.#pointed = null;
    });
  }

  /**
   * @param {{x: number, y: number} | null} vector any length, y up; null when the pointer is let go
   */
  point(vector) {
    this.#pointed = vector === null ? null : unit(vector.x, vector.y);
  }

  get direction() {
    if (this.#pointed !== null) return this.#pointed;
    let x = 0;
    let y = 0;
    for (const code of this.#held) {
      x += KEYS[code][0];
      y += KEYS[code][1];
    }
    return unit(Math.sign(x), Math.sign(y));
  }

  /**
   * Send the direction if it changed; to be called often.
   * @param {number} now milliseconds
   */
  update(now) {
    const { x, y } = this.direction;
    const same = Math.abs(x - this.#sent.x) < SAME && Math.abs(y - this.#sent.y) < SAME;
    // Stopping is exact, however little is missing.
    if (same && (x !== 0 || y !== 0 || (this.#sent.x === 0 && this.#sent.y === 0))) return;
    if (now - this.#sentAt < INTERVAL_MS || !this.#send({ x, y })) return;
    this.#sent = { x, y };
    this.#sentAt = now;
  }

  /** A new connection knows nothing of what was sent. */
  reset() {
    this.#sent = { x: 0, y: 0 };
    this.#sentAt = -Infinity;
  }
}

/**
 * @param {number} x
 * @param {number} y
 */
function unit(x, y) {
  const length = Math.hypot(x, y);
  return length === 0 ? { x: 0, y: 0 } : { x: x / length, y: y / length };
}

/**
 * An on-screen stick for fingers.
 * @param {HTMLElement} stick with one child, the knob
 * @param {(vector: {x: number, y: number} | null) => void} onDirect y up
 */
export function listenToStick(stick, onDirect) {
  const knob = /** @type {HTMLElement} */ (stick.firstElementChild);
  const move = (/** @type {PointerEvent} */ event) => {
    if (!stick.hasPointerCapture(event.pointerId)) return;
    const box = stick.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2;
    const y = event.clientY - box.top - box.height / 2;
    const reach = Math.min(1, box.width / 3 / Math.max(1, Math.hypot(x, y)));
    knob.style.transform = `translate(${x * reach}px, ${y * reach}px)`;
    onDirect({ x, y: -y });
  };
  const release = () => {
    knob.style.transform = "";
    onDirect(null);
  };
  stick.addEventListener("pointerdown", (event) => {
    stick.setPointerCapture(event.pointerId);
    move(event);
  });
  stick.addEventListener("pointermove", move);
  stick.addEventListener("pointerup", release);
  stick.addEventListener("pointercancel", release);
}
