/** Read lines of hexadecimal msgpack, print each decoded and encoded again, for Python to compare. */

import { createInterface } from "node:readline";
import { decode, encode } from "../../horizon_ecs/net/web/msgpack.js";

for await (const line of createInterface({ input: process.stdin })) {
  console.log(Buffer.from(encode(decode(new Uint8Array(Buffer.from(line, "hex"))))).toString("hex"));
}
