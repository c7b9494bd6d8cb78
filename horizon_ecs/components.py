"""Components, resources and events: classes whose annotated fields become columns, values and records.

Nothing here touches storage.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, dataclass_transform, overload

import numpy as np

from horizon_ecs.errors import DefinitionError
from horizon_ecs.fields import Field, attributes, convert, default_of, f4, f8, field, i8, read_fields

Component: TypeAlias = type
"""A class decorated with `@component`, or a subclass of `Tag`."""

C = TypeVar("C", bound=type)


class Tag:
    """Base of components without data: `class Frozen(Tag): ...`."""

    __hz_fields__: typing.ClassVar[tuple[Field, ...]] = ()
    __hz_role__: typing.ClassVar[str] = "component"

    def __init_subclass__(cls) -> None:
        if cls.__dict__.get("__annotations__"):
            raise DefinitionError(f"tag {cls.__name__} has fields; a tag carries no data: make it a @component")


def _as_record(cls: C, fields: tuple[Field, ...], role: str) -> C:
    """Note what the class is; give it a constructor, repr and equality, with defaults for fields that aren't given."""
    named = attributes(fields)
    for name, columns in named.items():
        value: Any = default_of(columns)
        if columns[0].vector:
            value = dataclasses.field(default_factory=functools.partial(default_of, columns))
        setattr(cls, name, value)
    special = {n: columns for n, columns in named.items() if columns[0].vector or columns[0].enum}
    if special and "__post_init__" not in cls.__dict__:

        def convert_all(self: Any) -> None:
            for name, columns in special.items():
                setattr(self, name, convert(columns, getattr(self, name)))

        cls.__post_init__ = convert_all  # type: ignore[attr-defined]
    made: Any = dataclasses.dataclass(cls)
    made.__hz_fields__, made.__hz_role__ = fields, role
    _refuse_others(made, named)
    return typing.cast(C, made)


def _refuse_others(cls: Any, names: Collection[str]) -> None:
    """Let instances take no attribute that the class doesn't know: a misspelt field would be written for nobody."""
    if "__setattr__" in cls.__dict__:
        return

    def set_known(self: Any, name: str, value: Any) -> None:
        if name not in names and not hasattr(cls, name):
            raise AttributeError(f"{cls.__name__} has no field {name!r}; it has {list(names)}{nearest(name, names)}")
        object.__setattr__(self, name, value)

    cls.__setattr__ = set_known


@dataclass_transform(field_specifiers=(field,))
def component(cls: C) -> C:
    """Declare a component: a class whose annotated fields become columns.

    Field types
        - numbers: f2, f4, f8, i1 … u8, b1, or any fixed NumPy type as `np.complex64` or `Annotated[int,
          np.dtype(...)]`;
        - vectors: vec2, vec3, vec4 of float32, quat for a rotation (x, y, z, w), or `Annotated[hz.Vector,
          np.dtype(("f8", (5,)))]`; each number is a column of its own, "position.x", and `world[Transform].position`
          shows them stacked as (n, 3);
        - enums and flags with whole numbers as values, in the narrowest integer that holds them;
        - `hz.Entity`: a reference to an entity, 0 for none. What it refers to must live when it is given; when that
          dies, the reference becomes 0: by the end of the phase, or of the call that ended it between ticks.

    Defaults are 0, or an enum's first member, unless given; `hz.field` adds a unit, a range and a precision. Instances
    are plain values, as `World.get` returns them and as a system can be called with in a test.

    Raises
    ------
    DefinitionError
        No fields, or a field whose type or default is none of these; the message names it.
    """
    if not isinstance(cls, type):
        raise DefinitionError(f"@component decorates a class, not {cls!r}")
    return _as_record(cls, read_fields(cls, "component"), "component")


@dataclass_transform(field_specifiers=(dataclasses.field,))
def object_component(cls: C) -> C:
    """Declare a component of Python objects: texts, dicts, what has no fixed size.

    It is kept as one instance an entity, not in columns: slow (about a hundred times), and jitted systems can ask
    whether an entity has it, but not read it. Everything else is as for other components: kinds list it, queries find
    it, `spawn`, `add`, `get` and `set` take instances (one for all, or a sequence of one each). Saving needs values
    that msgpack can carry. Fields are those of a dataclass; each needs a default.

    Raises
    ------
    DefinitionError
    """
    if not isinstance(cls, type):
        raise DefinitionError(f"@object_component decorates a class, not {cls!r}")
    made: Any = dataclasses.dataclass(cls)
    for one in dataclasses.fields(made):
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise DefinitionError(
                f"{cls.__name__}.{one.name} needs a default, which entities have that aren't given one"
            )
    made.__hz_fields__, made.__hz_role__, made.__hz_object__ = (), "component", True
    _refuse_others(made, [one.name for one in dataclasses.fields(made)])
    return typing.cast(C, made)


@dataclass_transform(field_specifiers=(field,))
def resource(cls: C) -> C:
    """Declare a resource: one value of the whole world that systems read with `Res[...]`; fields as for a component."""
    return _as_record(cls, read_fields(cls, "resource"), "resource")


@overload
@dataclass_transform(field_specifiers=(field,))
def event(cls: C) -> C: ...
@overload
@dataclass_transform(field_specifiers=(field,))
def event(*, name: str | None = None, namespace: str = "") -> Callable[[C], C]: ...
def event(cls: C | None = None, *, name: str | None = None, namespace: str = "") -> Any:
    """Declare an event that clients send: fixed fields, so that a tick's input decodes as one array.

    Parameters
    ----------
    name : str, optional
        Its name on the wire; by default the class's in snake_case.
    namespace : str, optional
        What it belongs to, such as "movement"; on the wire it is then called "movement.name".
    """

    def decorate(cls: C) -> C:
        fields = read_fields(cls, "event")
        made = _as_record(cls, fields, "event")
        own = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        made.__hz_event__ = f"{namespace}.{own}" if namespace else own  # type: ignore[attr-defined]
        made.__hz_dtype__ = np.dtype([(f.name, f.dtype.newbyteorder("<")) for f in fields])  # type: ignore[attr-defined]
        return made

    return decorate if cls is None else decorate(cls)


@resource
class Time:
    """The built-in resource of time: `dt` in seconds, fixed; the number of the tick; seconds since the first."""

    dt: f4 = 0.0
    tick: i8 = 0
    elapsed: f8 = 0.0


@object_component
class Name:
    """The built-in component for what people call an entity: list it in a kind; `World.named` finds it."""

    text: str = ""


def make_component(name: str, fields: Mapping[str, Any]) -> Component:
    """A component made at run time, as `@component` makes one of a class.

    Parameters
    ----------
    name : str
    fields : mapping from name to type
        What NumPy takes as a dtype, `("f4", 3)` for a vector; or what may be annotated: `hz.vec3`, an enum.

    Raises
    ------
    DefinitionError
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise DefinitionError(f"make_component: name must be an identifier, not {name!r}")
    annotations = {field_name: _annotation(name, field_name, kind) for field_name, kind in fields.items()}
    made = type(name, (), {"__annotations__": annotations, "__module__": __name__})
    return _as_record(made, read_fields(made, "component"), "component")


def _annotation(owner: str, name: str, kind: Any) -> Any:
    """A field's type as an annotation."""
    if typing.get_origin(kind) is typing.Annotated or (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        return kind
    try:
        return typing.Annotated[Any, np.dtype(kind)]
    except TypeError:
        raise DefinitionError(f"{owner}.{name}: {kind!r} is no dtype") from None


def is_component(value: Any) -> bool:
    """Whether `value` is a component class."""
    return role_of(value) == "component" and value is not Tag


def is_object(component: Component) -> bool:
    """Whether a component was declared with `@object_component`."""
    return getattr(component, "__hz_object__", False)


def role_of(value: Any) -> str:
    """What a class was declared as: "component", "resource" or "event"; nothing for any other value."""
    return getattr(value, "__hz_role__", "") if isinstance(value, type) else ""


def component_type(value: Any) -> Component:
    """`value`, if it is a component class; DefinitionError otherwise."""
    if not is_component(value):
        hint = "; unpack it: *[...]" if isinstance(value, list | tuple) else ""
        raise DefinitionError(f"expected a component class (@component or a subclass of Tag), got {value!r}{hint}")
    return typing.cast(type, value)


def fields_of(component: Component) -> tuple[Field, ...]:
    """The fields of a component, event or resource, in order."""
    fields: tuple[Field, ...] = component.__hz_fields__  # type: ignore[attr-defined]
    return fields


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the most similar of `names`, or nothing: for error messages."""
    close = difflib.get_close_matches(name, list(names), 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
