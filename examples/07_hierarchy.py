"""Cranes of jointed arms: parents and children, transforms down them, sums up them, and what ends with whom."""

from __future__ import annotations

import math

import numpy as np

import horizon_ecs as hz
from horizon_ecs import f4


@hz.component
class Mass:
    kg: f4


class Loads(hz.Relation, on_target_death="remove"):
    """Which crane loads a ship; a crane loads one, a ship may be loaded by many."""

    since_s: f4


Base = hz.Kind("Base", hz.Transform2D, hz.WorldTransform2D, Mass, optional=[Loads, hz.Parent])
Arm = hz.Kind("Arm", hz.Parent, hz.Transform2D, hz.WorldTransform2D, Mass)
Ship = hz.Kind("Ship", hz.Transform2D, Mass)


@hz.system
def turn(local: hz.Write[hz.Transform2D], parent: hz.Read[hz.Parent], time: hz.Res[hz.Time]):
    if parent.target != 0:
        local.angle += math.pi / 2 * time.dt


def build(world: hz.World, n: int) -> tuple[np.ndarray, np.ndarray]:
    """So many cranes of a base and two arms each; the bases and the outer arms."""
    bases = world.spawn(Base, n, Transform2D={"x": np.arange(n) * 10.0}, Mass=1000.0)
    inner = world.spawn(Arm, n, Parent=bases, Mass=100.0)
    outer = world.spawn(Arm, n, Parent=inner, Transform2D={"x": 5.0}, Mass=50.0)
    return bases, outer


def main() -> dict[str, object]:
    world = hz.World(capacity=1_000, tick_rate=50)
    bases, outer = build(world, 3)
    tips = world.spawn(Arm, 3, Parent=outer, Transform2D={"y": 4.0})
    world.add_system(turn, hz.propagate_transforms_2d)
    ship = world.spawn(Ship, 1)[0]
    world.relate(bases, Loads, ship, since_s=0.0)
    print(len(world.sources_of(ship, Loads)), "cranes load the ship;", len(world.children_of(bases[0])), "arm each")

    world.run(50)  # every joint turns by a quarter
    tip = world.get(tips[1], hz.WorldTransform2D)
    print(f"the second crane's tip is {tip.x:.1f} m east, {tip.y:.1f} m north")

    cranes = world.hierarchy()  # parents before children, whoever they are
    total = dict(zip(world.handles_of(cranes.order).tolist(), cranes.totals(Mass, "kg").tolist(), strict=True))
    kg = [total[h] for h in (bases[0], *world.descendants_of(bases[0])[:2])]
    print("a crane, its inner and its outer arm with all on them weigh", kg)

    try:
        world.relate(bases[:1], hz.Parent, tips[:1])
    except hz.ArgumentError as error:
        print("refused:", error)

    world.despawn(ship)  # who loaded it loads nothing any more
    ended = world.despawn(bases[0])  # and with a base end its arms
    print(ended, "ended;", len(world.query(Loads)), "cranes load a ship")
    return {"tip": (tip.x, tip.y), "kg": kg, "ended": ended, "left": len(world)}


if __name__ == "__main__":
    main()
