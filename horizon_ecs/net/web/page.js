/**
 * The page: a live view of a world as one observer sees it.
 */

import { Camera, listenToGestures } from "./camera.js";
import { Link } from "./link.js";
import { Motion } from "./motion.js";
import { Overlay, ringsOf } from "./overlay.js";
import { Panel } from "./panel.js";
import { createPoints, POINT_FLOATS } from "./points.js";
import { listenToStick, Steering } from "./steering.js";
import { Timeline } from "./timeline.js";

/** A click within so many pixels of a point picks it. */
const PICK_PX = 16;

/** Of a point, in CSS pixels: grows with the zoom between these. */
const MIN_POINT_PX = 3.4;
const MAX_POINT_PX = 10;

/** The outermost ring takes so much of the view at the beginning. */
const RING_PART = 0.94;

/** @typedef {import("./client.js").Welcome} Welcome */

const STEER = "steer";

/** @param {string} id */
const $ = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
const canvasOf = (id) => /** @type {HTMLCanvasElement} */ ($(id));

class Page {
  camera = new Camera();
  panel = new Panel(document);
  fps = 0;
  /** @type {Motion | null} */
  motion = null;
  /** @type {import("./overlay.js").Ring[]} */
  rings = [];
  /** @type {number[] | null} */
  bounds = null;
  /** The observer's own entity, 0n if it has none. */
  own = 0n;
  /** @type {Record<string, any>} the server's last statistics */
  server = {};

  #stage = $("stage");
  #overlay = new Overlay(canvasOf("overlay"));
  #points = createPoints(canvasOf("points"), new URLSearchParams(location.search).get("renderer"));
  #vertices = new Float32Array(0);
  #ratio = 1;
  #before = performance.now();
  #showsCells = false;
  #showsRings = true;
  /** Where the observer was last drawn; rings stay there when it is gone. @type {{x: number, y: number} | null} */
  #observer = null;

  constructor() {
    this.timeline = new Timeline(document, (event, values) => this.link.client.send(event, values));
    this.timeline.onPace = () => {
      if (this.motion !== null) this.motion.clock = this.timeline.clock(this.replica?.tick ?? 0, performance.now());
    };
    this.steering = new Steering((direction) => this.link.client.send(STEER, direction));
    this.link = new Link(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws${location.search}`, {
      name: "page",
      onWelcome: (welcome) => this.#begin(welcome),
      onFrame: () => this.motion?.update(performance.now()),
      onStats: (stats) => (this.server = stats),
      onClose: () => this.steering.reset(),
    });
    this.#listen();
    $("renderer").textContent = this.#points.name;
    this.#resize();
    requestAnimationFrame(() => this.#draw());
  }

  get renderer() { return this.#points.name; }
  get replica() { return this.link.client.replica; }

  /** What the panel shows. */
  get stats() {
    const { updates_per_s, bytes_per_s, frames_per_s, bytes_per_update } = this.panel.rates;
    const { client, state } = this.link;
    return {
      ...this.server, updates_per_s, bytes_per_s, frames_per_s, bytes_per_update, state,
      in_view: this.replica?.n ?? 0, ping_ms: client.pingMs, tick: this.replica?.tick ?? -1,
    };
  }

  #listen() {
    new ResizeObserver(() => this.#resize()).observe(this.#stage);
    listenToGestures(this.#stage, this.camera, {
      onClick: (x, y) => this.#pick(x, y),
      onDirect: (point) => this.steering.point(point && this.#towards(point)),
    });
    this.steering.listen(window);
    listenToStick($("stick"), (vector) => this.steering.point(vector));
    $("home").onclick = () => (this.camera.follow = this.own);
    onSwitch($("cells"), (on) => (this.#showsCells = on));
    onSwitch($("rings"), (on) => (this.#showsRings = on));
    onSwitch($("by-field"), (on) => (this.panel.shares.byField = on));
    $("fit").onclick = () => this.#fitWorld();
    $("fold").onclick = () => {
      const folded = $("panel").classList.toggle("folded");
      $("fold").setAttribute("aria-expanded", String(!folded));
    };
    window.addEventListener("online", () => this.link.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.link.hurry());
    // A phone shows the world first.
    if (innerWidth <= 720) $("fold").click();
  }

  /** @param {Welcome} welcome */
  #begin(welcome) {
    const { replica } = this;
    if (replica === null) return;
    this.motion = new Motion(replica, welcome.tick_rate);
    this.timeline.begin(welcome, location.search);
    this.rings = ringsOf(welcome.schema);
    this.own = BigInt(welcome.entity ?? 0);
    this.#observer = null;
    const { title, bounds } = welcome.about ?? {};
    this.bounds = Array.isArray(bounds) && bounds.length === 4 && bounds.every(Number.isFinite) ? bounds : null;
    $("title").textContent = document.title = typeof title === "string" ? title : "Horizon ECS";
    this.panel.legend($("legend"), this.rings);
    const steerable = this.own !== 0n && (welcome.schema.events ?? []).some((e) => e.name === STEER);
    $("home").hidden = this.own === 0n;
    $("hint-steer").hidden = $("stick").hidden = !steerable;
    this.#firstView();
  }

  /** The observer with all it can see; without one the whole world. */
  #firstView() {
    const { camera } = this;
    if (camera.touched) {
      // The entity that was followed is gone with the connection; our own came back under another handle.
      if (camera.follow !== null) camera.follow = this.own || null;
      return;
    }
    camera.follow = this.own || null;
    if (this.bounds !== null) camera.fit(this.bounds);
    const outermost = this.rings.find((ring) => Number.isFinite(ring.radius));
    if (this.own !== 0n && outermost !== undefined) {
      camera.scale = (Math.min(camera.width, camera.height) / 2 / outermost.radius) * RING_PART;
    }
  }

  #fitWorld() {
    this.camera.follow = null;
    this.camera.touched = true;
    const bounds = this.bounds ?? this.#extent();
    if (bounds !== null) this.camera.fit(bounds);
  }

  /** Of what is in view now. @returns {number[] | null} */
  #extent() {
    const { motion } = this;
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < (motion?.n ?? 0); i++) {
      const { x, y } = /** @type {Motion} */ (motion).position(i, this.#before);
      if (Number.isNaN(x)) continue;
      [box[0], box[1], box[2], box[3]] = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
    }
    return box[0] < box[2] || box[1] < box[3] ? box : null;
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#stage;
    this.#ratio = Math.min(2, devicePixelRatio);
    for (const id of ["points", "overlay"]) {
      canvasOf(id).width = Math.round(clientWidth * this.#ratio);
      canvasOf(id).height = Math.round(clientHeight * this.#ratio);
    }
    this.camera.width = clientWidth;
    this.camera.height = clientHeight;
    if (!this.camera.touched && this.link.client.welcome !== null) this.#firstView();
  }

  /**
   * From the observer to a point of the screen.
   * @param {{x: number, y: number}} point
   */
  #towards({ x, y }) {
    const world = this.camera.toWorld(x, y);
    const from = this.#observer ?? this.camera;
    return { x: world.x - from.x, y: world.y - from.y };
  }

  /**
   * Follow the nearest entity, or let go.
   * @param {number} x CSS pixels
   * @param {number} y CSS pixels
   */
  #pick(x, y) {
    const { motion, replica, camera } = this;
    if (motion === null || replica === null) return;
    const { x: wx, y: wy } = camera.toWorld(x, y);
    let nearest = PICK_PX / camera.scale;
    let picked = -1;
    for (let i = 0; i < motion.n; i++) {
      const at = motion.position(i, this.#before);
      const distance = Math.hypot(at.x - wx, at.y - wy);
      if (distance < nearest) [nearest, picked] = [distance, i];
    }
    camera.follow = picked < 0 ? null : replica.handle(picked);
    camera.touched = true;
  }

  #draw() {
    requestAnimationFrame(() => this.#draw());
    const now = performance.now();
    const dt = Math.min(0.25, (now - this.#before) / 1000);
    this.#before = now;
    if (dt > 0) this.fps += (1 / dt - this.fps) * 0.05;
    this.steering.update(now);
    const followed = this.#place(this.camera.follow, now);
    if (followed !== null) this.camera.track(followed, dt);
    if (this.own !== 0n) this.#observer = this.#place(this.own, now) ?? this.#observer;
    this.#drawPoints(now);
    this.#drawOverlay(followed);
    this.#tell(now);
  }

  /**
   * Where an entity is drawn; null if it isn't in view.
   * @param {bigint | null} handle
   * @param {number} now milliseconds
   */
  #place(handle, now) {
    const i = handle === null || this.replica === null ? -1 : this.replica.indexOf(handle);
    if (i < 0 || this.motion === null) return null;
    const place = this.motion.position(i, now);
    return Number.isNaN(place.x) ? null : place;
  }

  /** @param {number} now milliseconds */
  #drawPoints(now) {
    const { motion, camera } = this;
    if (motion === null) return;
    if (this.#vertices.length < motion.n * POINT_FLOATS) this.#vertices = new Float32Array(motion.n * POINT_FLOATS * 2);
    // Relative to the camera, so that 32 bits are enough at any zoom.
    motion.sample(now, camera.x, camera.y, this.#vertices);
    const size = Math.min(MAX_POINT_PX, Math.max(MIN_POINT_PX, 4.5 * Math.sqrt(camera.scale)));
    this.#points.draw(this.#vertices, motion.n, camera.scale * this.#ratio, size * this.#ratio);
  }

  /** @param {{x: number, y: number} | null} followed */
  #drawOverlay(followed) {
    const { camera } = this;
    this.#overlay.begin(this.#ratio);
    if (this.#showsCells) this.#overlay.cells(camera, this.server.regions ?? []);
    this.#overlay.grid(camera, this.bounds);
    if (this.#observer !== null) {
      if (this.#showsRings) this.#overlay.rings(camera, this.#observer, this.rings, this.replica);
      this.#overlay.self(camera, this.#observer, this.steering.direction);
    }
    if (followed !== null && camera.follow !== this.own) this.#overlay.mark(camera, followed);
  }

  /** @param {number} now milliseconds */
  #tell(now) {
    const { motion, fps } = this;
    const channels = motion?.channel ?? new Uint8Array(0);
    const more = { ping_ms: this.link.client.pingMs, fps, channels, n: motion?.n ?? 0 };
    if (!this.panel.update(now, this.replica, this.server, more)) return;
    this.#tellStatus(now);
    this.timeline.show(this.replica?.tick ?? 0);
    this.#tellCard();
    $("cells").hidden = this.server.regions === undefined;
    $("home").setAttribute("aria-pressed", String(this.camera.follow === this.own));
  }

  /** @param {number} now milliseconds */
  #tellStatus(now) {
    const { state, reason, retryAt } = this.link;
    const wait = Math.max(0, Math.ceil((retryAt - now) / 1000));
    const text = {
      live: this.timeline.told === null ? "Live" : "Recording",
      connecting: reason === "" ? "Connecting" : `${reason}. Connecting again`,
      waiting: `${reason}. Next attempt in ${wait} s`,
      ended: `${reason}. Reload the page`,
    }[state];
    $("status").dataset.state = state;
    const span = /** @type {HTMLElement} */ ($("status").lastElementChild);
    if (span.textContent !== text) span.textContent = text;
    this.#stage.classList.toggle("stale", state !== "live" && this.motion !== null);
  }

  /** What is known of the followed entity. */
  #tellCard() {
    const { replica, camera } = this;
    const i = camera.follow === null || replica === null || camera.follow === this.own ? -1 : replica.indexOf(camera.follow);
    $("card").hidden = i < 0;
    if (i < 0 || replica === null) return;
    const kind = replica.schema.kinds[replica.kind[i]];
    $("card-title").textContent = `${kind.name} ${replica.slot[i]}`;
    const rows = kind.groups.flatMap(({ component, fields }) => fields.flatMap((field) => namesOf(field).map((name) => [
      `${component}.${name}`, value(replica.read(i, component, name)),
    ])));
    const followed = kind.channels.flatMap((channel, c) => (channel !== null && (replica.mask[i] >> c) & 1 ? [c] : []));
    rows.push(["Channels", followed.join(", ")]);
    const period = replica.periodOf(i, 0);
    if (period > 0) rows.push(["Sent", `${value((this.link.client.welcome?.tick_rate ?? NaN) / period)} Hz`]);
    $("card-values").replaceChildren(...rows.map(([name, text]) => {
      const row = document.createElement("div");
      row.appendChild(document.createElement("dt")).textContent = name;
      row.appendChild(document.createElement("dd")).textContent = text;
      return row;
    }));
  }
}

/**
 * A button that stays pressed until it is pressed again.
 * @param {HTMLElement} button
 * @param {(on: boolean) => void} take
 */
function onSwitch(button, take) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    take(on);
  });
}

/** @param {import("./schema.js").Field} field */
function namesOf(field) {
  return field.parts ? field.parts.map((part) => part.name) : [field.name];
}

/** @param {number} number */
function value(number) {
  return Number.isNaN(number) ? "–" : String(Number(number.toFixed(2)));
}

/** For tests and the curious: what the page knows and shows. */
Object.assign(window, { horizon: new Page() });
