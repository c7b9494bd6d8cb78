// Colyseus' @colyseus/schema with a StateView a client: `with_colyseus.py` tells it tick by tick what happens, as lines of JSON.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const modules = process.argv[2]
const require = createRequire(join(modules, 'x.js'))
const { schema, t, Encoder, Decoder, StateView } = require('@colyseus/schema')
const { version } = JSON.parse(readFileSync(join(modules, '@colyseus/schema/package.json')))

let room = null

// names and types of fields, number of clients, and which of them are decoded
function open({ fields, clients, decoded, buffer }) {
  Encoder.BUFFER_SIZE = buffer  // so that it never grows while it is timed
  const Entity = schema(Object.fromEntries(fields.map(([name, type]) => [name, t[type]()])), 'Entity')
  const State = schema({ entities: t.map(Entity).view() }, 'State')
  const state = new State()
  const encoder = new Encoder(state)
  room = {
    Entity, state, encoder, names: fields.map(([name]) => name), entities: [],
    views: Array.from({ length: clients }, () => new StateView()),
    visible: new Map(decoded.map(client => [client, new Set()])),
    decoders: new Map(decoded.map(client => [client, new Decoder(new State())])),
    first: true,
  }
  return null
}

// What others took of a busy machine isn't counted, as on the other side; time on the processor counts microseconds.
const spent = (ms, what, work) => {
  const before = process.cpuUsage(), started = performance.now()
  work()
  const took = performance.now() - started, { user, system } = process.cpuUsage(before)
  ms[what] = took > 1 ? Math.min(took, (user + system) / 1000) : took
}

function assign({ set, gone }) {
  const { Entity, state, entities, names } = room
  for (const [id, ...values] of set) {
    let entity = entities[id]
    const born = !entity
    if (born) entity = entities[id] = new Entity()
    for (let f = 0; f < names.length; f++) if (entity[names[f]] !== values[f]) entity[names[f]] = values[f]
    if (born) state.entities.set(String(id), entity)
  }
  for (const id of gone) {
    state.entities.delete(String(id))
    entities[id] = undefined
  }
}

function see({ entered, left }) {
  const { views, entities, visible } = room
  for (const [client, id] of left) {
    if (entities[id]) views[client].remove(entities[id])
    visible.get(client)?.delete(id)
  }
  for (const [client, id] of entered) {
    views[client].add(entities[id])
    visible.get(client)?.add(id)
  }
}

// As their README has it: what all may see is encoded once, then each view's own part.
function encode(messages) {
  const { encoder, views, first, decoders } = room
  const it = { offset: 0 }
  if (first) encoder.encodeAll(it)
  else encoder.encode(it)
  const shared = it.offset
  let bytes = 0
  for (let client = 0; client < views.length; client++) {
    const message = first ? encoder.encodeAllView(views[client], shared, it) : encoder.encodeView(views[client], shared, it)
    bytes += message.length
    if (decoders.has(client)) messages.set(client, Uint8Array.from(message))
  }
  if (first) for (const view of views) encoder.encodeView(view, shared, it)  // it was in the full state already
  encoder.discardChanges()
  room.first = false
  return bytes
}

// The decoded clients must see the same entities, with the same values, as the server has.
function check(messages) {
  let checked = 0, wrong = 0
  for (const [client, message] of messages) {
    const decoder = room.decoders.get(client), seen = room.visible.get(client)
    decoder.decode(message)
    if ((decoder.state.entities?.size ?? 0) !== seen.size) wrong++
    for (const id of seen) {
      const theirs = decoder.state.entities.get(String(id))
      for (const name of room.names) {
        checked++
        if (theirs?.[name] !== room.entities[id][name]) wrong++
      }
    }
  }
  return { checked, wrong }
}

function tick(given) {
  const ms = {}, messages = new Map()
  let bytes = 0
  spent(ms, 'views_left', () => see({ left: given.left, entered: [] }))
  spent(ms, 'assign', () => assign(given))
  spent(ms, 'views', () => see({ left: [], entered: given.entered }))
  spent(ms, 'encode', () => { bytes = encode(messages) })
  return { bytes, ms: { assign: ms.assign, views: ms.views_left + ms.views, encode: ms.encode }, ...check(messages) }
}

const answers = { version: () => ({ version, node: process.versions.node }), open, tick }

for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = JSON.parse(line)
  process.stdout.write(JSON.stringify(answers[name](argument)) + '\n')
}
