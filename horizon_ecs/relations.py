"""Relations: components that tie an entity to another.

Nothing here touches storage; `links` holds the arrays, `related` what a world offers.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform

from horizon_ecs.access import Entity
from horizon_ecs.components import Component, component, component_type, fields_of
from horizon_ecs.errors import ArgumentError, DefinitionError
from horizon_ecs.fields import field

T = TypeVar("T")

ON_TARGET_DEATH = ("clear", "remove", "despawn")


@dataclass_transform(field_specifiers=(field,))
class _Declared:
    """Tells type checkers that what derives from it has a constructor of its fields."""


class Relation(_Declared):
    """Base of relations: `class DockedAt(hz.Relation): ...` is a component with the field `target`, a handle or 0.

    An entity has one target, a target any number of sources. Kinds list a relation among their components or as
    optional, queries and systems read it as any other, and annotated names add fields of data to it. Only
    `World.relate`, `spawn`, `add`, `set` and `cmd.add(entity, DockedAt(target))` write the target, so that it always
    names a living entity other than the source.

    Class options
    -------------
    on_target_death : "clear", "remove" or "despawn"
        What happens to the sources of a target that ends. "clear": they keep the relation, with target 0. "remove":
        they lose it; where their kind always has it, it is cleared. "despawn": they end in the same call, and so do
        theirs.
    acyclic : bool
        Refuse whatever would make an entity its own target over others.

    Raises
    ------
    DefinitionError
    """

    target: Entity
    __hz_on_target_death__: ClassVar[str] = "clear"
    __hz_acyclic__: ClassVar[bool] = False

    def __init_subclass__(cls, *, on_target_death: str = "clear", acyclic: bool = False) -> None:
        if cls.__bases__ != (Relation,):
            raise DefinitionError(f"relation {cls.__name__} must derive from hz.Relation alone")
        if on_target_death not in ON_TARGET_DEATH:
            raise DefinitionError(
                f"relation {cls.__name__}: on_target_death must be one of {ON_TARGET_DEATH}, not {on_target_death!r}"
            )
        if not isinstance(acyclic, bool):
            raise DefinitionError(f"relation {cls.__name__}: acyclic must be True or False, not {acyclic!r}")
        own = cls.__dict__.get("__annotations__", {})
        if "target" in own:
            raise DefinitionError(f"relation {cls.__name__}: every relation has the field target; leave it out")
        cls.__annotations__ = {"target": Entity, **own}
        cls.__hz_on_target_death__, cls.__hz_acyclic__ = on_target_death, acyclic
        made: Any = component(cls)
        first, *data = fields_of(made)
        made.__hz_fields__ = (dataclasses.replace(first, fixed=True), *data)


class Parent(Relation, on_target_death="despawn", acyclic=True):
    """The relation of a hierarchy: who ends takes children, and theirs, along. Cycles are refused."""


def is_relation(component: Component) -> bool:
    """Whether a component is a relation."""
    return isinstance(component, type) and issubclass(component, Relation)


def relation_type(value: Any) -> type[Relation]:
    """`value`, if it is a relation; ArgumentError otherwise."""
    if not is_relation(value) or value is Relation:
        raise ArgumentError(f"expected a relation (a subclass of hz.Relation), got {value!r}")
    return cast(type[Relation], component_type(value))


def is_acyclic(relation: Component) -> bool:
    """Whether cycles of a relation are refused."""
    return relation.__hz_acyclic__  # type: ignore[attr-defined, no-any-return]


def on_target_death(relation: Component) -> str:
    """What happens to the sources of a target that ends."""
    return relation.__hz_on_target_death__  # type: ignore[attr-defined, no-any-return]
