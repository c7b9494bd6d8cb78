"""Transforms: where entities are relative to their parents, and in the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_ecs import kernel
from horizon_ecs.components import Component, component, fields_of
from horizon_ecs.declare import system
from horizon_ecs.fields import f4, quat, vec3
from horizon_ecs.relations import Parent
from horizon_ecs.systems import hierarchy as kernels
from horizon_ecs.vectors import Vector4
from horizon_ecs.world import World

if TYPE_CHECKING:
    from collections.abc import Callable


@component
class Transform:
    """Where an entity is: relative to its parent, or to the world if it has none.

    `position` in the parent's units and axes; `rotation` a unit quaternion (x, y, z, w): one that isn't of unit length
    distorts what hangs on it, and nobody normalises it; `scale` the same on all axes, and of all that hangs on it.
    """

    position: vec3
    rotation: quat = Vector4(0.0, 0.0, 0.0, 1.0)
    scale: f4 = 1.0


@component
class WorldTransform:
    """Where an entity is in the world, as of the last run of `propagate_transforms`, which writes it."""

    position: vec3
    rotation: quat = Vector4(0.0, 0.0, 0.0, 1.0)
    scale: f4 = 1.0


@component
class Transform2D:
    """As `Transform`, in the plane: `angle` in radians, counter-clockwise."""

    x: f4
    y: f4
    angle: f4
    scale: f4 = 1.0


@component
class WorldTransform2D:
    """As `WorldTransform`, in the plane; angles add up down the hierarchy and aren't wrapped."""

    x: f4
    y: f4
    angle: f4
    scale: f4 = 1.0


@system(phase="react", form="columns")
def propagate_transforms(world: World) -> None:
    """Write the `WorldTransform` of every entity that has a `Transform`, parents before children.

    An entity without `hz.Parent`, or whose parent lacks either component, is where its `Transform` says. Add it to a
    world (it runs in the phase "react"), or call it from a columns system of another phase, or between ticks:
    `hz.propagate_transforms(world)`.

    Cost: O(entities with transforms), and of the hierarchy where that has changed.
    """
    _propagate(world, Transform, WorldTransform, kernels.compose)


@system(phase="react", form="columns")
def propagate_transforms_2d(world: World) -> None:
    """As `propagate_transforms`, for `Transform2D` and `WorldTransform2D`."""
    _propagate(world, Transform2D, WorldTransform2D, kernels.compose_2d)


def _propagate(world: World, local: Component, placed: Component, compose: Callable[..., Any]) -> None:
    """Everybody as if there were no parents, then those that have one."""
    query = world.query(local, placed, hidden=True)
    own, out = ([world.column(c, f.name) for f in fields_of(c)] for c in (local, placed))
    world.changes.stamp_pages([placed], query)
    rows: Any
    for rows in [*query.runs(), query.rest()]:
        for source, target in zip(own, out, strict=True):
            target[rows] = source[rows]
    found = world.hierarchy(Parent)
    if found.n_levels > 1:
        kernel.warm_up("hierarchy")
        need = np.uint64(world._admit(local) | world._admit(placed))
        compose(found.order, found.parent, found.level_starts[1], world.signature, need, *own, *out)
