"""Object components in snapshots: instances as maps of their fields, and those as bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component
from horizon_ecs.errors import SnapshotError
from horizon_ecs.objects import ObjectColumn
from horizon_ecs.packing import pack, unpack


def object_names(c: Component) -> list[str]:
    """The fields of an object component, sorted."""
    return sorted(f.name for f in dataclasses.fields(c))


def fields_of_instances(column: ObjectColumn) -> list[dict[str, Any]]:
    """Every instance's fields, by slot. Raises SnapshotError where one has attributes beside them."""
    names = object_names(column.component)
    found = []
    for _, instance in column:
        extra = getattr(instance, "__dict__", {}).keys() - names
        if extra:
            raise SnapshotError(
                f"{column.component.__name__}: an instance has the attribute {min(extra)!r} beside its fields, which a "
                "file can't hold"
            )
        found.append({name: getattr(instance, name) for name in names})
    return found


def instance_of(c: Component, values: Mapping[str, Any]) -> Any:
    """An instance with these fields, without running its constructor, which may do more than keep them."""
    made: Any = object.__new__(c)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def object_arrays(name: str, instances: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The lengths, uint32[n], and the bytes of each instance as msgpack. Raises SnapshotError for other than plain
    data."""
    packed = [pack(dict(values), name) for values in instances]
    yield "lengths", np.array([len(p) for p in packed], np.uint32)
    yield "data", np.frombuffer(b"".join(packed), np.uint8)


def objects_from(arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[dict[str, Any]]]:
    """What `object_arrays` made, by component. Raises SnapshotError for anything else."""
    names = sorted({name.partition("/")[0] for name in arrays})
    if sorted(arrays) != sorted(f"{name}/{part}" for name in names for part in ("lengths", "data")):
        raise SnapshotError(f"the sections of objects are {sorted(arrays)}")
    found = {}
    for name in names:
        lengths, data = arrays[f"{name}/lengths"], arrays[f"{name}/data"]
        if lengths.dtype != np.uint32 or data.dtype != np.uint8 or int(lengths.sum(dtype=np.uint64)) != len(data):
            raise SnapshotError(f"the objects of {name} don't fit their lengths")
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        raw = data.tobytes()
        starts = [0, *ends[:-1]]
        found[name] = [unpack(raw[a:b], max_items=b - a) for a, b in zip(starts, ends, strict=False)]
    return found
