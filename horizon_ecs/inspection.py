"""Looking at things: one entity with all its components."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from horizon_ecs.columns import PAGE
from horizon_ecs.components import Component, fields_of, is_object
from horizon_ecs.fields import attributes, build
from horizon_ecs.notebook import html_table, shown

if TYPE_CHECKING:
    from horizon_ecs.entities import Entities


@dataclass(frozen=True)
class Inspection:
    """One entity as it stood when it was looked at; prints itself.

    Attributes
    ----------
    handle, slot, generation : int
    kind : str
    born : int
        The tick that counts as its first.
    components : dict of name to instance
        Tags have True.
    absent : list of str
        Optional components that its kind knows and that it lacks.
    """

    handle: int
    slot: int
    generation: int
    kind: str
    born: int
    components: dict[str, Any]
    absent: list[str]
    _rows: list[tuple[str, str, str]] = field(repr=False, default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.kind} {self.handle:#x} (slot {self.slot}, generation {self.generation}, born in tick {self.born})"
        ]
        width = max((len(f"{c}.{n}") for c, n, _ in self._rows), default=0)
        lines += [f"  {f'{c}.{n}' if n else c:<{width}}  {value}" for c, n, value in self._rows]
        if self.absent:
            lines.append(f"  without {', '.join(self.absent)}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title = f"{self.kind} {self.handle:#x}, slot {self.slot}, generation {self.generation}"
        return html_table(title, ("component", "field", "value"), self._rows)


def inspect_entity(world: Entities, slot: int) -> Inspection:
    """What lives in a slot."""
    kind = world.kinds[int(world.page_kind[slot // PAGE])]
    signature = int(world.signature[slot])
    found: dict[str, Any] = {}
    rows: list[tuple[str, str, str]] = []
    for c in (c for c in kind.components + kind.optional if signature & world.bit(c)):
        found[c.__name__] = _value(world, c, slot)
        rows += _describe(c, found[c.__name__])
    return Inspection(
        handle=(int(world.generation[slot]) << 32) | slot,
        slot=slot,
        generation=int(world.generation[slot]),
        kind=kind.name,
        born=int(world.born[slot]),
        components=found,
        absent=[c.__name__ for c in kind.optional if c.__name__ not in found],
        _rows=rows,
    )


def _value(world: Entities, component: Component, slot: int) -> Any:
    if is_object(component):
        return world[component][slot]
    fields = fields_of(component)
    return build(component, fields, {n: a[slot] for n, a in world.arrays_of(component).items()}) if fields else True


def _describe(component: Component, value: Any) -> list[tuple[str, str, str]]:
    """Rows of component, field and value with its unit."""
    name = component.__name__
    if is_object(component):
        return [(name, field_name, repr(v)) for field_name, v in vars(value).items()]
    if value is True:
        return [(name, "", "")]
    first = {attribute: columns[0] for attribute, columns in attributes(fields_of(component)).items()}
    return [
        (name, attribute, f"{shown(getattr(value, attribute), of)} {of.unit}".rstrip())
        for attribute, of in first.items()
    ]
