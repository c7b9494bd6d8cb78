"""Looking at a world with NumPy: queries, zero-copy columns and bulk changes from outside of systems."""

from __future__ import annotations

import numpy as np

import horizon_ecs as hz
from horizon_ecs import f4, i2


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Health:
    hp: i2 = 100


class Poisoned(hz.Tag): ...


Creature = hz.Kind("Creature", Position, Health, optional=[Poisoned])
Tree = hz.Kind("Tree", Position)


def main() -> dict[str, float]:
    rng = np.random.default_rng(3)
    world = hz.World(capacity=50_000)
    creatures = world.spawn(Creature, 20_000, Position=rng.random((20_000, 2)) * 1_000)
    world.spawn(Tree, 5_000, Position=rng.random((5_000, 2)) * 1_000)
    world.add(creatures[rng.random(20_000) < 0.3], Poisoned)

    # Whole columns are arrays over all slots; a query says which of them count.
    poisoned = world.query(Health, Poisoned)
    world[Health].hp[poisoned.slots] -= rng.integers(50, 150, len(poisoned), dtype=np.int16)

    # Or in batches: whole pages without a copy, what is mixed gathered and written back.
    for position, _ in world.query(Position, Health).batches(write=[Position]):
        position.x += 1.0

    dead = poisoned.handles[world[Health].hp[poisoned.slots] <= 0]
    n_dead = world.despawn(dead)

    everywhere = world.query(Position)
    table = everywhere.to_dict()  # copies by name, ready for a data frame
    result = {
        "dead": n_dead,
        "living": len(world.query(Health)),
        "mean_x": float(table["Position.x"].mean()),
        "mean_hp": float(world[Health].hp[world.query(Health).slots].mean()),
    }
    print(result)
    return result


if __name__ == "__main__":
    main()
