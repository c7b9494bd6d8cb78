"""Object components: one Python instance an entity, for what has no fixed size."""

from __future__ import annotations

import copy
import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.components import Component, nearest
from horizon_ecs.errors import ArgumentError

_CHECKED = (str, bytes, int, float, bool, dict, list, tuple, set)


class ObjectColumn:
    """The instances of one object component, by slot; `world[Name]`.

    Iterating gives (slot, instance), by slot. The instances are those that `World.get` returns: change them in place.
    """

    def __init__(self, component: Component) -> None:
        self.component = component
        self._by_slot: dict[int, Any] = {}
        self._touched: list[set[int]] = []

    def listen(self) -> set[int]:
        """A set to which every slot is added whose instance is another one from now on; now it has all."""
        self._touched.append(set(self._by_slot))
        return self._touched[-1]

    def _touch(self, slots: Iterable[int]) -> None:
        for touched in self._touched:
            touched.update(slots)

    def write(self, slots: NDArray[np.integer[Any]], instances: Sequence[Any]) -> None:
        """Keep an instance a slot."""
        self._by_slot.update(zip(slots.tolist(), instances, strict=True))
        self._touch(slots.tolist())

    def drop(self, slots: NDArray[np.integer[Any]]) -> None:
        """Forget the instances of slots, where there are any."""
        for slot in slots.tolist():
            self._by_slot.pop(slot, None)
        self._touch(slots.tolist())

    def move(self, old: NDArray[np.integer[Any]], new: NDArray[np.integer[Any]]) -> None:
        """Re-key the instances of entities that were given other slots."""
        moved = [
            (self._by_slot.pop(a), b) for a, b in zip(old.tolist(), new.tolist(), strict=True) if a in self._by_slot
        ]
        self._by_slot.update((slot, instance) for instance, slot in moved)
        self._touch([*old.tolist(), *new.tolist()])

    def clear(self) -> None:
        """Forget everything."""
        self._touch(self._by_slot)
        self._by_slot.clear()

    def replace(self, by_slot: dict[int, Any]) -> None:
        """Keep these instances instead."""
        self._touch([*self._by_slot, *by_slot])
        self._by_slot = by_slot

    def get(self, slot: int) -> Any:
        """The instance at a slot, or None."""
        return self._by_slot.get(slot)

    def __getitem__(self, slot: int) -> Any:
        return self._by_slot[int(slot)]

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return iter(sorted(self._by_slot.items(), key=lambda item: item[0]))

    def __len__(self) -> int:
        return len(self._by_slot)

    def __repr__(self) -> str:
        return f"ObjectColumn({self.component.__name__}: {len(self)} instances)"


def as_instances(component: Component, value: Any, n: int) -> list[Any]:
    """An instance for each of `n` entities.

    `value` may be None (the defaults), an instance, a sequence of n instances, a mapping from field to one value for
    all, or, for a component of one field, a value for all or a list or array of n. Each gets a deep copy of its own.

    Raises
    ------
    ArgumentError
    """
    names = [f.name for f in dataclasses.fields(component)]
    if value is None or value is True:
        return [component() for _ in range(n)]
    if isinstance(value, component):
        return [_checked(component, copy.deepcopy(value)) for _ in range(n)]
    if isinstance(value, list | tuple | np.ndarray) and not (isinstance(value, tuple) and n == 1 and len(value) != 1):
        if len(value) != n:
            raise ArgumentError(f"{component.__name__} expects {n} instances or one, got {len(value)}")
        return [_checked(component, _one(component, names, copy.deepcopy(item))) for item in value]
    return [_checked(component, _one(component, names, copy.deepcopy(value))) for _ in range(n)]


def _one(component: Component, names: list[str], value: Any) -> Any:
    """One instance."""
    if isinstance(value, component):
        return value
    if isinstance(value, Mapping) and set(value) <= set(names):
        return component(**value)
    if len(names) == 1:
        return component(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, Mapping):
        strange = next(name for name in value if name not in names)
        raise ArgumentError(
            f"{component.__name__} has no field {strange!r}; it has {names}{nearest(str(strange), names)}"
        )
    raise ArgumentError(f"{component.__name__} takes an instance or a mapping of {names}, not {value!r}")


def _checked(component: Component, instance: Any) -> Any:
    """Refuse a value of another type than its field's, where that is a plain one."""
    for name, hint in typing.get_type_hints(component).items():
        wanted = typing.get_origin(hint) or hint
        value = getattr(instance, name)
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int)) if wanted in _CHECKED else True
        if not fits:
            raise ArgumentError(f"{component.__name__}.{name} takes {wanted.__name__}, not {value!r}")
    return instance
