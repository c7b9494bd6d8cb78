"""What the worlds of test_twin.py are made of: kinds, systems, what these mean for the twin, and values."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import numpy as np

import horizon_ecs as hz
from horizon_ecs import Read, Write, b1, f4, f8, i2, u4, vec3
from tests.twin import Sort, Twin, Values
from tests.twin import Thing as TwinThing

# -- what lives in these worlds ----------------------------------------------------------------------------------


class Mode(enum.IntEnum):
    IDLE = 0
    CHASE = 3
    FLEE = 7


@hz.component
class Name:
    number: u4
    leader: hz.Entity


@hz.component
class Body:
    position: vec3
    mass: f4 = 1.5


@hz.component
class Life:
    hp: i2 = 100


@hz.component
class Mind:
    mode: Mode
    mood: f8 = -0.5
    target: hz.Entity


@hz.component
class Cargo:
    amount: f8 = 2.5
    sealed: b1 = True


@hz.object_component
class Note:
    text: str = "blank"
    marks: dict = dataclasses.field(default_factory=dict)


class Marked(hz.Tag): ...


class Dock(hz.Relation, on_target_death="remove"):
    fee: f4 = 0.5


class Escort(hz.Relation): ...


Thing = hz.Kind("Thing", Name, Body, optional=[Marked, Note, hz.Parent])
Ship = hz.Kind("Ship", Life, extends=Thing, optional=[Mind, Cargo, Dock])
Carrier = hz.Kind("Carrier", Cargo, Escort, extends=Ship)
Rock = hz.Kind("Rock", Name, optional=[Life, Cargo, Marked])

KINDS = {kind.name: kind for kind in (Thing, Ship, Carrier, Rock)}
COMPONENTS = {c.__name__: c for c in (Name, Body, Life, Mind, Cargo, Marked, Note, hz.Parent, Dock, Escort)}

# The same once more, as the twin is told.
SORTS = {
    "Thing": Sort(("Name", "Body"), ("Marked", "Note", "Parent")),
    "Ship": Sort(("Life",), ("Mind", "Cargo", "Dock"), extends="Thing"),
    "Carrier": Sort(("Cargo", "Escort"), extends="Ship"),
    "Rock": Sort(("Name",), ("Life", "Cargo", "Marked")),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "Name": {"number": 0, "leader": 0},
    "Body": {"position.x": 0.0, "position.y": 0.0, "position.z": 0.0, "mass": 1.5},
    "Life": {"hp": 100},
    "Mind": {"mode": 0, "mood": -0.5, "target": 0},
    "Cargo": {"amount": 2.5, "sealed": True},
    "Marked": {},
    "Note": {"text": "blank", "marks": {}},
    "Parent": {"target": 0},
    "Dock": {"target": 0, "fee": 0.5},
    "Escort": {"target": 0},
}
FATES = {"Parent": "despawn", "Dock": "remove", "Escort": "clear"}
REFERENCES = [("Name", "leader"), ("Mind", "target"), *((relation, "target") for relation in FATES)]

# -- what systems do to them, and what that means ----------------------------------------------------------------


@hz.system(phase="input", form="columns", jit=True)
def age(life: Write[Life]):
    life.hp -= 3


@hz.system(phase="simulate")
def reap(entity: hz.Entity, life: Read[Life], cmd: hz.Commands):
    if life.hp <= 0:
        cmd.despawn(entity)


@hz.system(phase="simulate", after=[reap])
def mark(entity: hz.Entity, life: Read[Life], cmd: hz.Commands):
    if life.hp < 40:
        cmd.add(entity, Marked)
    else:
        cmd.remove(entity, Marked)


@hz.system(phase="simulate", without=[Marked])
def fall(body: Write[Body]):
    body.mass *= 0.5


@hz.system(phase="simulate", form="columns")
def forget(entity: hz.Entity, mind: Write[Mind], cmd: hz.Commands) -> None:
    mind.mood += 0.25
    cmd.remove(entity[mind.mode == Mode.FLEE], Mind)


@hz.system(phase="react", form="columns", with_=[Marked])
def drown(world: hz.World, entity: hz.Entity, cargo: Read[Cargo]) -> None:
    world.despawn(entity[cargo.amount > 90], missing="ignore")


@hz.system(phase="simulate", after=[mark])
def breed(entity: hz.Entity, name: Read[Name], life: Read[Life], cmd: hz.Commands):
    if life.hp % 16 == 5:
        cmd.spawn(Rock, Name(name.number + 1, entity), Life(life.hp))


SYSTEMS = (age, reap, mark, fall, forget, drown, breed)


def breeders(twin: Twin) -> int:
    """How many entities will ask for a rock in the next tick."""
    return sum(twin.things[h].has["Life"]["hp"] % 16 == 8 for h in twin.having("Life"))


def tick(twin: Twin) -> list[TwinThing]:
    """What one tick of the systems means; who is born in it."""
    life = {h: twin.things[h].has["Life"] for h in twin.having("Life")}
    for values in life.values():
        values["hp"] -= 3
    for handle in twin.find(["Body"], ["Marked"]):
        twin.things[handle].has["Body"]["mass"] *= 0.5
    for handle in twin.having("Mind"):
        twin.things[handle].has["Mind"]["mood"] += 0.25
    flee = [h for h in twin.having("Mind") if twin.things[h].has["Mind"]["mode"] == 7]
    asked = {h: (twin.things[h].has["Name"]["number"], v["hp"]) for h, v in life.items() if v["hp"] % 16 == 5}
    twin.despawn([h for h, values in life.items() if values["hp"] <= 0])
    twin.add([h for h, values in life.items() if 0 < values["hp"] < 40], "Marked")
    twin.remove([h for h, values in life.items() if values["hp"] >= 40], "Marked")
    twin.remove(flee, "Mind")
    born = [
        TwinThing("Rock", {"Name": {"number": number + 1, "leader": h if h in twin.things else 0}, "Life": {"hp": hp}})
        for h, (number, hp) in asked.items()
    ]
    twin.settle()
    twin.despawn([h for h in twin.having("Cargo", "Marked") if twin.things[h].has["Cargo"]["amount"] > 90])
    for thing in born:
        name = thing.has["Name"]
        name["leader"] = name["leader"] if name["leader"] in twin.things else 0
    twin.settle()
    return born


# -- values, in every form that a call takes ---------------------------------------------------------------------

FORMS = ["array", "row", "mapping", "part", "structured", "instance", "instances"]


def numbers_for(component: str, n: int, rng: np.random.Generator, living: list[int]) -> Values:
    """A list of n values for each column, all of which it holds exactly."""
    made: Values = {}
    for column, default in DEFAULTS[component].items():
        if column == "mode":
            made[column] = rng.choice([0, 3, 7], n).tolist()
        elif column in ("target", "leader"):
            made[column] = rng.choice(np.array([0, *living], np.uint64), n).tolist()
        elif column == "text":
            made[column] = rng.choice(["", "a note", "ένα σημείωμα"], n).tolist()
        elif column == "marks":
            made[column] = [{"n": int(number)} if number else {} for number in rng.integers(0, 3, n)]
        elif isinstance(default, bool):
            made[column] = (rng.random(n) < 0.5).tolist()
        elif isinstance(default, int):
            made[column] = rng.integers(0, 200, n).tolist()
        else:
            made[column] = (rng.integers(-200, 200, n) / 2).tolist()
    return made


def _instance(component: str, values: Values, i: int) -> Any:
    one = {column: numbers[i] for column, numbers in values.items()}
    if component == "Body":
        return Body((one["position.x"], one["position.y"], one["position.z"]), one["mass"])
    return COMPONENTS[component](**one)


def in_form(component: str, form: str, n: int, rng: np.random.Generator, living: list[int]) -> tuple[Any, Values]:
    """Values for n entities: as they are passed to a world, and as the twin takes them."""
    values = numbers_for(component, max(n, 1), rng, living)
    first = {column: numbers[0] for column, numbers in values.items()}
    each = {column: numbers[:n] for column, numbers in values.items()}
    if component == "Note" and form not in ("row", "instance"):
        return [_instance(component, values, i) for i in range(n)], each
    dtypes = [(f.name, f.dtype) for f in COMPONENTS[component].__hz_fields__]
    if form == "array" and component not in dict(REFERENCES):
        floats = component == "Body"
        columns = np.array(list(each.values()), np.float64 if floats else np.int64).T.reshape(n, len(each))
        return columns, {column: numbers.tolist() for column, numbers in zip(each, columns.T, strict=True)}
    if form == "row":
        return _instance(component, values, 0) if len(first) > 1 else next(iter(first.values())), first
    if form == "mapping":
        return {column: np.array(numbers, dict(dtypes)[column]) for column, numbers in each.items()}, each
    if form == "part":
        column = list(each)[-1]
        return {column: first[column]}, {column: first[column]}
    if form == "structured":
        rows = np.zeros(n, dtypes)
        for column, numbers in each.items():
            rows[column] = numbers
        return rows, each
    if form in ("instances", "array") and n:
        return [_instance(component, values, i) for i in range(n)], each
    return _instance(component, values, 0), first
