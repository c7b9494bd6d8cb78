"""Batches: some rows of one component as arrays by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.columns import VectorColumns, vectors_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.fields import Field


class Batch:
    """Some rows of one component: an array a field, by name. Assigning to a field writes into its array."""

    __slots__ = ("_arrays", "_name", "_vectors")

    def __init__(self, name: str, fields: Sequence[Field], arrays: dict[str, NDArray[Any]]) -> None:
        self._name: str
        self._arrays: dict[str, NDArray[Any]]
        self._vectors: dict[str, VectorColumns]
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_arrays", arrays)
        object.__setattr__(self, "_vectors", vectors_of(fields, arrays))

    def __getattr__(self, name: str) -> Any:
        found = self._arrays.get(name)
        if found is not None:
            return found
        if name in self._vectors:
            return self._vectors[name]
        raise AttributeError(f"{self._name} has no field {name!r}; it has {[*self._arrays, *self._vectors]}")

    def __setattr__(self, name: str, value: Any) -> None:
        place = self.__getattr__(name)
        if value is place:  # what `batch.x += 1` ends with
            return
        if not self._arrays.get(name, [*self._arrays.values()][-1]).flags.writeable:
            raise ArgumentError(
                f"{self._name}.{name} can't be written: it was declared Read, or is the target of a relation, which "
                "cmd.add and world.relate write"
            )
        place[...] = value

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values()), ()))

    def __repr__(self) -> str:
        return f"{self._name}({len(self)} rows: {', '.join(self._arrays)})"


class OptionalBatch(Batch):
    """Some rows of an optional component: `present` bool[n] says who has it; other rows hold nothing of meaning."""

    __slots__ = ("present",)
    present: NDArray[np.bool_]

    def __init__(
        self, name: str, fields: Sequence[Field], arrays: dict[str, NDArray[Any]], present: NDArray[np.bool_]
    ) -> None:
        super().__init__(name, fields, arrays)
        object.__setattr__(self, "present", present)
