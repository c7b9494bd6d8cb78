// bitECS under node: typed arrays by entity id, queries that are kept by the world.
// Usage: node bitecs.mjs NODE_MODULES. Reads one JSON request a line and answers each with one line.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const require = createRequire(join(process.argv[2], 'bitecs.js'))
const { createWorld, addEntity, entityExists, removeEntity, addComponent, addComponents, removeComponent, query, asBuffer } = require('bitecs')
const { version } = require(join(process.argv[2], 'bitecs', 'package.json'))

let inputs = null

const sum = (array, ids) => { let total = 0; for (const id of ids) total += array[id]; return total }

// Ids begin at 1 and are reused, so that none exceeds the count.
function makeWorld(n) {
  const floats = () => new Float32Array(n + 1)
  const Position = { x: floats(), y: floats(), z: floats() }
  const Velocity = { x: floats(), y: floats(), z: floats() }
  const Health = { hp: new Int16Array(n + 1) }
  const Fuel = { amount: floats() }
  const world = createWorld()
  query(world, [Position, Velocity])  // as in any program, there is a query that has to be kept
  query(world, [Health])
  query(world, [Fuel])
  return { world, Position, Velocity, Health, Fuel }
}

function spawn({ world, Position, Velocity, Health }) {
  const { n, position, velocity, hp } = inputs
  const ids = new Array(n)
  for (let i = 0; i < n; i++) {
    const id = ids[i] = addEntity(world)
    addComponents(world, id, Position, Velocity, Health)
    const p = position[i], v = velocity[i]
    Position.x[id] = p[0]; Position.y[id] = p[1]; Position.z[id] = p[2]
    Velocity.x[id] = v[0]; Velocity.y[id] = v[1]; Velocity.z[id] = v[2]
    Health.hp[id] = hp[i]
  }
  return ids
}

function clear(made) {
  for (const id of Array.from(query(made.world, [made.Health]))) removeEntity(made.world, id)
  query(made.world, [made.Health])
}

function scattered() {
  const made = makeWorld(inputs.n), ids = spawn(made)
  return {
    made,
    visits: Uint32Array.from(inputs.order, i => ids[i]),
    more: Float32Array.from(inputs.order, i => i * 0.5),
    check: () => sum(made.Position.x, ids),
  }
}

const weighted = (c, ids) => sum(c.x, ids) + 2 * sum(c.y, ids) + 3 * sum(c.z, ids)

const workloads = {
  integrate() {
    const made = makeWorld(inputs.n), { world, Position, Velocity } = made, dt = inputs.dt
    spawn(made)
    return {
      work() {
        const { x, y, z } = Position, { x: u, y: v, z: w } = Velocity
        const ids = query(world, [Position, Velocity], asBuffer)
        for (let i = 0; i < ids.length; i++) {
          const id = ids[i]
          x[id] += u[id] * dt
          y[id] += v[id] * dt
          z[id] += w[id] * dt
        }
      },
      check: () => weighted(Position, query(world, [Position])),
    }
  },

  create() {
    const made = makeWorld(inputs.n), { world, Position, Velocity, Health } = made
    return {
      reset: () => clear(made),
      work: () => spawn(made),
      check() {
        const ids = query(world, [Health])
        return weighted(Position, ids) + weighted(Velocity, ids) + sum(Health.hp, ids)
      },
    }
  },

  destroy() {
    const made = makeWorld(inputs.n), { world, Health } = made
    let ids = []
    return {
      reset() { query(world, [Health]); ids = spawn(made) },
      work() { for (let i = 0; i < ids.length; i++) removeEntity(world, ids[i]) },
      check: () => ids.length - query(world, [Health]).length,
    }
  },

  add_remove() {
    const made = makeWorld(inputs.n), { world, Fuel } = made
    const ids = spawn(made), some = inputs.some.map(i => ids[i]), amounts = inputs.some.map(i => inputs.values[i])
    const add = () => {
      for (let i = 0; i < some.length; i++) {
        addComponent(world, some[i], Fuel)
        Fuel.amount[some[i]] = amounts[i]
      }
    }
    const remove = () => { for (let i = 0; i < some.length; i++) removeComponent(world, some[i], Fuel) }
    return {
      reset: () => query(world, [Fuel]),
      work() { add(); remove() },
      check() {
        query(world, [Fuel])
        add()
        const total = sum(Fuel.amount, query(world, [Fuel]))
        remove()
        return query(world, [Fuel]).length ? -1 : total
      },
    }
  },

  query() {
    const { n, kinds, kind_of: kindOf, values, wanted, dt } = inputs
    const components = kinds[0].map(() => ({ v: new Float32Array(n + 1) }))
    const world = createWorld(), terms = components.slice(0, wanted)
    query(world, terms)
    for (let i = 0; i < n; i++) {
      const id = addEntity(world), has = components.filter((_, c) => kinds[kindOf[i]][c])
      addComponents(world, id, ...has)
      for (const c of has) c.v[id] = values[i]
    }
    return {
      work() {
        const [a, b, c, d, e] = terms.map(t => t.v), ids = query(world, terms, asBuffer)
        for (let i = 0; i < ids.length; i++) {
          const id = ids[i]
          a[id] += (b[id] + c[id] + d[id] + e[id]) * dt
        }
      },
      check: () => sum(terms[0].v, query(world, terms)),
    }
  },

  random() {
    const { made, visits, more, check } = scattered(), { world, Position: { x } } = made
    return {
      work() {
        for (let i = 0; i < visits.length; i++) {
          const id = visits[i]
          if (entityExists(world, id)) x[id] += more[i]
        }
      },
      check,
    }
  },

  random_known() {
    const { made: { Position: { x } }, visits, more, check } = scattered()
    return { work() { for (let i = 0; i < visits.length; i++) x[visits[i]] += more[i] }, check }
  },

  follow() {
    const made = makeWorld(inputs.n), { world, Position, Velocity } = made, ids = spawn(made)
    const Target = { entity: new Uint32Array(inputs.n + 1) }
    query(world, [Position, Target])
    ids.forEach((id, i) => {
      addComponent(world, id, Target)
      Target.entity[id] = ids[inputs.targets[i]]
    })
    return {
      work() {
        const { x } = Position, { x: u } = Velocity, { entity } = Target
        const found = query(world, [Position, Target], asBuffer)
        for (let i = 0; i < found.length; i++) {
          const id = found[i], target = entity[id]
          if (entityExists(world, target)) x[id] += u[target]
        }
      },
      check: () => sum(Position.x, ids),
    }
  },

  despawn() {
    const made = makeWorld(inputs.n), { world, Health } = made
    return {
      reset() { clear(made); spawn(made) },
      work() {
        const { hp } = Health
        for (const id of query(world, [Health])) if (hp[id] <= 0) removeEntity(world, id)
        query(world, [Health])  // removals are carried out by the next query
      },
      check() {
        const ids = query(world, [Health])
        return sum(Health.hp, ids) + ids.length
      },
    }
  },
}

let current = null

function seconds(repeats) {
  let best = Infinity
  for (let i = 0; i < repeats; i++) {
    current.reset?.()
    const spent = process.cpuUsage(), started = performance.now()
    current.work()
    const took = performance.now() - started, { user, system } = process.cpuUsage(spent)
    if (took > 1) best = Math.min(best, (user + system) / 1000)  // as for the others; it counts microseconds
    best = Math.min(best, took)
  }
  return best / 1000
}

const answers = {
  version: () => ({ version, node: process.versions.node }),
  inputs: given => { inputs = given; return Object.keys(workloads) },
  prepare: key => { current = workloads[key](); return key },
  seconds,
  checksum: () => current.check(),
  close: () => { current = null; return null },
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = JSON.parse(line)
  process.stdout.write(JSON.stringify(answers[name](argument)) + '\n')
}
