"""How a system uses what its parameters name: the marks behind `Read[...]`, `Write[...]`, `Res[...]` and `Entity`."""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

T = TypeVar("T")


class Access:
    """A mark in an annotation."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


READ, WRITE, RESOURCE, ENTITY = Access("Read"), Access("Write"), Access("Res"), Access("Entity")

Read: TypeAlias = Annotated[T, READ]
"""A parameter through which a system reads a component: `vel: Read[Velocity]`."""
Write: TypeAlias = Annotated[T, WRITE]
"""A parameter through which a system reads and writes a component: `pos: Write[Position]`."""
Res: TypeAlias = Annotated[T, RESOURCE]
"""A parameter through which a system reads a resource: `time: Res[hz.Time]`."""
Entity: TypeAlias = Annotated[int, ENTITY]
"""In a system the entity's handle; as a field's type a reference to an entity."""
