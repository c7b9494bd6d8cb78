"""A world's schema as plain data: what can be printed, compared, stored and sent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_ecs.components import Component, fields_of, is_object
from horizon_ecs.fields import Field
from horizon_ecs.kinds import Kind

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities


def describe_world(world: Entities) -> dict[str, Any]:
    """`{"components": [...], "kinds": [...]}` of plain dicts, lists, texts and numbers, in order of registration."""
    return {
        "components": [describe_component(c) for c in world.components],
        "kinds": [_describe_kind(kind) for kind in world.kinds],
    }


def describe_component(component: Component) -> dict[str, Any]:
    """A component, event or resource: its name and fields; of an object component the names of its fields."""
    if is_object(component):
        return {"name": component.__name__, "objects": [f.name for f in dataclasses.fields(component)], "fields": []}
    return {"name": component.__name__, "fields": [_describe_field(f) for f in fields_of(component)]}


def _describe_field(f: Field) -> dict[str, Any]:
    """What a field is; what it doesn't have is left out."""
    described: dict[str, Any] = {"name": f.name, "dtype": f.dtype.str, "default": _plain(f.default)}
    extras = {
        "unit": f.unit, "low": f.low, "high": f.high, "precision": f.precision, "vector": f.vector,
        "entity": f.is_entity, "enum": f.members or None, "angle": f.angle, "rotation": f.rotation,
    }  # fmt: skip
    return described | {name: value for name, value in extras.items() if value not in (None, "", False)}


def _plain(value: Any) -> Any:
    """A number that JSON can carry."""
    if isinstance(value, complex):
        return [value.real, value.imag]
    return int(value.astype(np.int64)) if isinstance(value, np.generic) else value


def _describe_kind(kind: Kind) -> dict[str, Any]:
    layers = [
        {
            "channel": layer.channel, "radius": layer.radius, "frequency": layer.frequency,
            "fields": [c.__name__ for c in layer.fields], "priority": layer.priority,
            "precision": {c.__name__: layer.precision_of(c) for c in layer.fields},
            "compression": {c.__name__: layer.compression_of(c) for c in layer.fields},
        }
        for layer in kind.layers
    ]  # fmt: skip
    return {
        "name": kind.name,
        "extends": kind.extends.name if kind.extends else None,
        "components": [c.__name__ for c in kind.components],
        "optional": [c.__name__ for c in kind.optional],
        "layers": layers,
    }


def hash_of(schema: Mapping[str, Any]) -> str:
    """A hash of what stored values mean, 16 hexadecimal digits: names, dtypes and kinds, whatever their order."""
    components = sorted(
        [c["name"], c.get("objects", []), [[f["name"], f["dtype"], f.get("enum")] for f in c["fields"]]]
        for c in schema["components"]
    )
    kinds = sorted([k["name"], sorted(k["components"]), sorted(k["optional"])] for k in schema["kinds"])
    return hashlib.sha256(json.dumps([components, kinds]).encode()).hexdigest()[:16]
