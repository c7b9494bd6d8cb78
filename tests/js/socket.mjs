/**
 * The least of a WebSocket client over node:net that `Client` needs: Node 20 has none of its own. For tests only: no TLS, and
 * the server is trusted to answer the handshake properly.
 */

import { randomBytes } from "node:crypto";
import { connect } from "node:net";

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;

export class Socket {
  binaryType = "blob";
  readyState = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  #socket;
  #pending = Buffer.alloc(0);
  #parts = [];
  #closed = { code: 1006, reason: "", wasClean: false };

  constructor(url) {
    const { hostname, port, pathname, host } = new URL(url);
    this.#socket = connect(Number(port), hostname.replace(/^\[|\]$/g, ""), () => {
      this.#socket.setNoDelay(true);
      const key = randomBytes(16).toString("base64");
      this.#socket.write(
        `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
      );
    });
    this.#socket.on("data", (data) => this.#receive(data));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.readyState = 3;
      this.onclose?.(this.#closed);
    });
  }

  send(bytes) {
    this.#frame(typeof bytes === "string" ? TEXT : BINARY, Buffer.from(bytes));
  }

  close(code = 1000, reason = "") {
    if (this.readyState > 1) return;
    this.readyState = 2;
    this.#closed = { code, reason, wasClean: true };
    this.#frame(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));
    this.#socket.end();
  }

  /** Clients mask what they send; a mask of zeros is one, too. */
  #frame(opcode, payload) {
    const n = payload.length;
    const head = n < 126 ? Buffer.from([0x80 | opcode, 0x80 | n]) : Buffer.from([0x80 | opcode, 0x80 | 126, n >> 8, n & 255]);
    this.#socket.write(Buffer.concat([head, Buffer.alloc(4), payload]));
  }

  #receive(data) {
    this.#pending = Buffer.concat([this.#pending, data]);
    if (this.readyState === 0) {
      const end = this.#pending.indexOf("\r\n\r\n");
      if (end < 0) return;
      if (!this.#pending.subarray(0, end).toString().startsWith("HTTP/1.1 101")) {
        this.#socket.destroy();
        return;
      }
      this.#pending = this.#pending.subarray(end + 4);
      this.readyState = 1;
      this.onopen?.({});
    }
    while (this.#next());
  }

  /** Take one frame off the pending bytes; false when it isn't whole yet. */
  #next() {
    const bytes = this.#pending;
    if (bytes.length < 2) return false;
    let n = bytes[1] & 127;
    let at = 2;
    if (n === 126) {
      if (bytes.length < 4) return false;
      n = bytes.readUInt16BE(2);
      at = 4;
    } else if (n === 127) {
      if (bytes.length < 10) return false;
      n = Number(bytes.readBigUInt64BE(2));
      at = 10;
    }
    if (bytes.length < at + n) return false;
    this.#pending = bytes.subarray(at + n);
    this.#dispatch(bytes[0] & 15, (bytes[0] & 0x80) !== 0, bytes.subarray(at, at + n));
    return true;
  }

  #dispatch(opcode, final, payload) {
    if (opcode === PING) this.#frame(10, payload);
    else if (opcode === CLOSE) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (this.readyState === 1) {
        this.#frame(CLOSE, payload);
        this.#closed = { code, reason: payload.subarray(2).toString(), wasClean: true };
      }
      this.readyState = 3;
      this.#socket.end();
    } else if (opcode === BINARY || opcode === TEXT || opcode === CONTINUATION) {
      this.#parts.push(payload);
      if (!final) return;
      const whole = Buffer.concat(this.#parts);
      this.#parts = [];
      const { buffer, byteOffset, length } = whole;
      this.onmessage?.({ data: opcode === TEXT ? whole.toString() : buffer.slice(byteOffset, byteOffset + length) });
    }
  }
}
