"""Sample worlds: entities with random values of what a system works on, for checking it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component, Tag, fields_of, is_object
from horizon_ecs.declare import System
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field
from horizon_ecs.kinds import Kind
from horizon_ecs.sites import ADD, REMOVE
from horizon_ecs.world import World

SHARE = 0.5  # of the entities has each optional component
EXCLUDED = 0.1  # has each one that the system excludes


class Sampled(Tag):
    """What entities have where a system goes over none."""


def sample_kind(system: System[..., Any]) -> Kind:
    """A kind with all that a system names: required where it needs it, optional where it may be lacking.

    What a system asks commands about can be added and removed: nothing is required then.
    """
    required = dict.fromkeys([*system.components, *system.with_]) or {Sampled: None}
    asked = system.program.sites if system.program else ()
    loose = [p.type for p in system.parameters if p.use == "lookup"]
    loose += [site.target for site in asked if site.operation in (ADD, REMOVE)]
    optional = dict.fromkeys(
        [*system.optional, *system.without, *system.any_of, *system.changed, *system.added, *loose]
    )
    if any(p.use == "commands" for p in system.parameters):
        optional, required = required | optional, {Sampled: None}
    return Kind("Sample", *required, optional=[c for c in optional if c not in required])


def sample_world(system: System[..., Any], n: int, seed: int, *, holes: bool = False) -> tuple[World, Any]:
    """A world of `n` entities with random values, the same for the same seed, and their handles.

    With `holes` dead rows stand between them, so that what goes over whole pages elsewhere is gathered here.

    Raises
    ------
    ArgumentError
        A resource can't be made without arguments.
    """
    world, rng = World(capacity=2 * n + 64, seed=seed, n_threads=1), np.random.default_rng(seed)
    kind = sample_kind(system)
    every = world.spawn(kind, 2 * n if holes else n)
    handles = every[::2] if holes else every
    world.despawn(every[1::2] if holes else [])
    for c in [c for c in kind.components + kind.optional if not is_object(c)]:
        chosen = handles
        if c in kind.optional:
            needed = c in system.components or c in system.with_
            share = 1.0 if needed else EXCLUDED if c in system.without else SHARE
            chosen = handles[rng.random(n) < share]
            world.add(chosen, c)
        _fill(world, c, world.slots_of(chosen), world.slots_of(handles), rng)
    for parameter in system.parameters:
        if parameter.use == "resource" and parameter.type not in world.resources:
            world.insert(_resource(parameter.type))
        if parameter.use == "events":
            records = np.zeros(8, parameter.type.__hz_dtype__)
            for f in fields_of(parameter.type):
                records[f.name] = sample_values(f, 8, rng, handles)
            world.push_events(parameter.type, handles[:8] if n >= 8 else 0, records)
    return world, handles


def _fill(
    world: World, component: Component, slots: NDArray[np.uint32], pool: NDArray[np.uint32], rng: np.random.Generator
) -> None:
    """Random values; references lead to rows of the pool, whatever their handles are."""
    for f in (f for f in fields_of(component) if not f.fixed):
        world.column(component, f.name)[slots] = sample_values(f, len(slots), rng, world.handles_of(pool))


def sample_values(of: Field, n: int, rng: np.random.Generator, handles: NDArray[np.uint64]) -> NDArray[Any]:
    """Random values that a field may have; a fifth of references are none."""
    if of.is_entity:
        found = handles[rng.integers(0, max(1, len(handles)), n)]
        return np.where(rng.random(n) < 0.2, np.uint64(0), found)
    if of.enum is not None:
        return rng.choice(np.array([member.value for member in of.enum]), n).astype(of.dtype)
    if of.dtype.kind == "b":
        return rng.random(n) < 0.5
    if of.dtype.kind in "fc":
        low, high = _within(of, -100.0, 100.0)
        return rng.uniform(low, high, n).astype(of.dtype)
    low, high = _within(of, 0, 100)
    return rng.integers(int(low), int(high), n, endpoint=True).astype(np.int64).astype(of.dtype)


def _within(of: Field, low: Any, high: Any) -> tuple[Any, Any]:
    """The field's own range, where it has one."""
    low, high = (of.low, max(high, of.low)) if of.low is not None else (low, high)
    return (min(low, of.high), of.high) if of.high is not None else (low, high)


def _resource(kind: Any) -> Any:
    try:
        return kind()
    except TypeError:
        raise ArgumentError(
            f"the resource {kind.__name__} can't be made without arguments; give world=, with one inserted"
        ) from None
