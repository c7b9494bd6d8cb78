"""Saving a world, going back to an earlier state, telling worlds apart, and loading what an older program saved."""

from __future__ import annotations

import tempfile
from pathlib import Path

import horizon_ecs as hz
from horizon_ecs import f4, i2


@hz.component
class Position:
    x: f4
    y: f4


@hz.component
class Health:
    hp: i2 = 100


@hz.component
class Vitality:
    """What a later version of the program has instead of Health."""

    hp: f4 = 1.0
    armour: f4 = 0.25


Wolf = hz.Kind("Wolf", Position, Health)
NewWolf = hz.Kind("Wolf", Position, Vitality)


@hz.system
def wander(position: hz.Write[Position], health: hz.Write[Health], rng: hz.Random):
    position.x += rng.normal()
    health.hp -= rng.integers(0, 2)


def modernise(snapshot: hz.Snapshot) -> hz.Snapshot:
    """From the older schema to the newer; what isn't said here takes its default."""
    snapshot.rename("Health", "Vitality")
    snapshot.columns["Vitality.hp"] = (snapshot.columns["Vitality.hp"] / 100).astype("f4")
    return snapshot


def main() -> dict[str, object]:
    world = hz.World(capacity=10_000, seed=3)
    wolves = world.spawn(Wolf, 1_000)
    world.add_system(wander)
    world.run(30)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pack.world"
        world.save(path, about={"pack": "north"})
        print(f"saved {path.stat().st_size / 1000:.0f} kB:", hz.Snapshot.read(path).about)

        before = world.clone()  # in memory, for going back
        world.run(10)
        print("after ten more ticks:", len(world.diff(before).fields["Position.x"]), "wolves stand elsewhere")
        expected = world.digest()

        loaded = hz.World.load(path, kinds=[Wolf])  # handles, random numbers and all go on
        loaded.add_system(wander)
        world.copy_from(before)
        for one in (loaded, world):
            one.run(10)
        print("loaded and gone back, both come to the same:", {loaded.digest(), world.digest()} == {expected})

        newer = hz.World.load(path, kinds=[NewWolf], migrate=modernise)
    print("a wolf of the newer program:", newer.get(wolves[0], Vitality))
    return {"same": loaded.diff(world).equal, "wolves": len(newer), "armour": newer.get(wolves[0], Vitality).armour}


if __name__ == "__main__":
    main()
