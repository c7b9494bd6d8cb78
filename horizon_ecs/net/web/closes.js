/**
 * What close codes mean (docs/wire.md, "Close codes"), and whether connecting again makes sense.
 */

/** @type {Record<number, [string, boolean]>} */
export const CLOSES = {
  1000: ["closed as agreed", false],
  1001: ["the server has stopped", true],
  1002: ["a frame broke RFC 6455, or was compressed", false],
  1003: ["a text message was sent", false],
  1005: ["closed without a code", true],
  1006: ["the connection is lost, or nobody answers", true],
  1007: ["a text message that isn't UTF-8 was sent", false],
  1009: ["a message was longer than the server takes", false],
  1011: ["the server's application failed", true],
  1013: ["the server is full", true],
  4000: ["something malformed was sent or received", true],
  4001: ["the first message was something else than hello", false],
  4002: ["the server speaks another version of the protocol", false],
  4003: ["the server replicates another schema", false],
  4004: ["the hello came too late", true],
  4005: ["an event was sent that the server doesn't take", false],
  4006: ["frames weren't acknowledged for too long", true],
  4007: ["messages were sent faster than the server takes", true],
  4008: ["nothing was sent for too long", true],
  4009: ["the server doesn't accept the token", false],
  4010: ["an event was sent that only other roles may send", false],
  4011: ["banned", false],
  4012: ["the same session was taken up by another connection", false],
  4013: ["the server's operator ended the session", false],
};

/**
 * A connection's end as an error.
 */
export class ConnectionClosed extends Error {
  name = "ConnectionClosed";

  /**
   * @param {number} code
   * @param {string} [reason] what the server said
   */
  constructor(code, reason = "") {
    const { explanation, mayRetry } = explain(code);
    super(`connection closed with code ${code} (${explanation})${reason ? `: ${reason}` : ""}`);
    this.code = code;
    this.reason = reason;
    /** What the code means. */
    this.explanation = explanation;
    /** Whether connecting again makes sense. */
    this.mayRetry = mayRetry;
  }
}

/**
 * What a close code means.
 * @param {number} code
 */
export function explain(code) {
  const [explanation, mayRetry] = CLOSES[code] ?? ["for a reason of the application's", true];
  return { explanation, mayRetry };
}
