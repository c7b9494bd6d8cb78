/**
 * Talk with a live server: emit what the arguments say, answer to nothing, and print what the application says, until it says "bye".
 *
 *     node tests/js/talk.mjs ws://127.0.0.1:8080/ws '[["chat", "message", {"text": "Hello"}], …]'
 */

import { Client } from "../../horizon_ecs/net/web/horizon.js";
import { Socket } from "./socket.mjs";

const [url, emitted] = process.argv.slice(2);
const heard = [];
const client = new Client(url, {
  name: "talk",
  WebSocket: Socket,
  onWelcome() {
    for (const [namespace, event, data] of JSON.parse(emitted)) client.emit(namespace, event, data);
  },
  onServerEvent(...said) {
    heard.push(said);
    if (said[1] === "bye") client.close();
  },
  onClose({ code, reason }) {
    console.log(JSON.stringify({ heard, code, reason }));
  },
});
