/**
 * Thousands of round points: one draw call of WebGL2, or small rectangles on a 2-D canvas where there is none.
 */

/** By channel, near to far: the nearer and more often, the brighter. Also in the legend and for the rings. */
export const CHANNEL_COLOURS = [
  [255, 196, 107], [94, 230, 196], [96, 165, 250], [139, 124, 246],
  [236, 122, 178], [163, 200, 92], [224, 142, 102], [148, 163, 184],
];

/** Floats per point: x, y, channel, opacity. */
export const POINT_FLOATS = 4;

/**
 * @param {number} channel
 * @param {number} opacity
 */
export function cssColour(channel, opacity = 1) {
  const [r, g, b] = CHANNEL_COLOURS[channel % CHANNEL_COLOURS.length];
  return `rgb(${r} ${g} ${b} / ${opacity})`;
}

const VERTEX = `#version 300 es
uniform vec2 u_scale;
uniform float u_size;
uniform vec3 u_colours[8];
in vec4 a_point;
out vec4 v_colour;
out float v_radius;
void main() {
  gl_Position = vec4(a_point.xy * u_scale, 0.0, 1.0);
  // Nearer channels are a little larger.
  v_radius = 0.5 * u_size * (1.3 - 0.1 * min(a_point.z, 4.0));
  gl_PointSize = 2.0 * v_radius + 2.0;
  v_colour = a_point.z > 7.5 ? vec4(0.0) : vec4(u_colours[int(a_point.z)], 1.0) * a_point.w;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 v_colour;
in float v_radius;
out vec4 out_colour;
void main() {
  float distance = length(gl_PointCoord - 0.5) * (2.0 * v_radius + 2.0);
  out_colour = v_colour * clamp(v_radius + 0.5 - distance, 0.0, 1.0);
}`;

/**
 * WebGL where a graphics processor does it; where software would, a plain canvas draws twice as fast.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string | null} wanted "webgl" or "canvas" to have just that
 * @returns {Points}
 */
export function createPoints(canvas, wanted = null) {
  const plain = wanted === "canvas" || (wanted !== "webgl" && drawsInSoftware());
  const gl = plain ? null : canvas.getContext("webgl2", { antialias: false, depth: false });
  return gl === null ? new CanvasPoints(canvas) : new WebGLPoints(canvas, gl);
}

/** Whether WebGL is there, but without a graphics processor. Asked of another canvas: one takes a single kind of context. */
function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl && info ? String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/**
 * @typedef {object} Points
 * @property {string} name
 * @property {(points: Float32Array, n: number, scale: number, size: number) => void} draw
 *   points relative to the middle in world units, y up; `scale` and `size` in pixels of the canvas
 */

/** @implements {Points} */
class WebGLPoints {
  name = "WebGL2";
  #gl;
  #canvas;
  /** @type {Record<string, WebGLUniformLocation | null>} */
  #uniforms = {};
  #bytes = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {WebGL2RenderingContext} gl
   */
  constructor(canvas, gl) {
    this.#canvas = canvas;
    this.#gl = gl;
    this.#prepare();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.#prepare());
  }

  #prepare() {
    const gl = this.#gl;
    const program = gl.createProgram();
    for (const [type, source] of /** @type {const} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(type));
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "a_point");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program) ?? "link");
    gl.useProgram(program);
    for (const name of ["u_scale", "u_size", "u_colours"]) this.#uniforms[name] = gl.getUniformLocation(program, name);
    gl.uniform3fv(this.#uniforms.u_colours, CHANNEL_COLOURS.flat().map((v) => v / 255));
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, POINT_FLOATS, gl.FLOAT, false, 0, 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.#bytes = 0;
  }

  /**
   * @param {Float32Array} points
   * @param {number} n
   * @param {number} scale
   * @param {number} size
   */
  draw(points, n, scale, size) {
    const gl = this.#gl;
    if (gl.isContextLost()) return;
    const { width, height } = this.#canvas;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (points.byteLength !== this.#bytes) {
      gl.bufferData(gl.ARRAY_BUFFER, points.byteLength, gl.STREAM_DRAW);
      this.#bytes = points.byteLength;
    }
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, points, 0, n * POINT_FLOATS);
    gl.uniform2f(this.#uniforms.u_scale, (2 * scale) / width, (2 * scale) / height);
    gl.uniform1f(this.#uniforms.u_size, size);
    gl.drawArrays(gl.POINTS, 0, n);
  }
}

/** @implements {Points} */
class CanvasPoints {
  name = "canvas";
  #context;
  #canvas;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  /**
   * @param {Float32Array} points
   * @param {number} n
   * @param {number} scale
   * @param {number} size
   */
  draw(points, n, scale, size) {
    const context = this.#context;
    const { width, height } = this.#canvas;
    context.clearRect(0, 0, width, height);
    // One pass a channel: changing the colour costs more than looking at every point again.
    for (let c = 0; c < CHANNEL_COLOURS.length; c++) {
      context.fillStyle = cssColour(c);
      const side = Math.max(1, size * (1.2 - 0.1 * Math.min(c, 4)));
      for (let i = 0; i < n; i++) {
        if (points[4 * i + 2] !== c) continue;
        const x = width / 2 + points[4 * i] * scale;
        const y = height / 2 - points[4 * i + 1] * scale;
        if (x > -side && y > -side && x < width + side && y < height + side) context.fillRect(x - side / 2, y - side / 2, side, side);
      }
    }
  }
}
