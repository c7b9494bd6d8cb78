"""Components, kinds and layers: what entities are made of, and how they are replicated.

A component is a class with annotated fields; each field becomes one column. A kind is a bundle of components, some
optional, with the layers by which its entities reach observers. Nothing here touches storage.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar, dataclass_transform, overload

import numpy as np

from horizon_ecs.errors import DefinitionError

f4: TypeAlias = Annotated[float, np.dtype("f4")]
f8: TypeAlias = Annotated[float, np.dtype("f8")]
i1: TypeAlias = Annotated[int, np.dtype("i1")]
i2: TypeAlias = Annotated[int, np.dtype("i2")]
i4: TypeAlias = Annotated[int, np.dtype("i4")]
i8: TypeAlias = Annotated[int, np.dtype("i8")]
u1: TypeAlias = Annotated[int, np.dtype("u1")]
u2: TypeAlias = Annotated[int, np.dtype("u2")]
u4: TypeAlias = Annotated[int, np.dtype("u4")]
u8: TypeAlias = Annotated[int, np.dtype("u8")]
b1: TypeAlias = Annotated[bool, np.dtype("?")]

_FIELD_TYPES = "f4, f8, i1, i2, i4, i8, u1, u2, u4, u8 or b1"

Component: TypeAlias = type
"""A class decorated with `@component`, or a subclass of `Tag`."""

C = TypeVar("C", bound=type)

MAX_CHANNEL = 7


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a component, event or resource: a column's name, dtype and default."""

    name: str
    dtype: np.dtype[Any]
    default: Any = 0


class Tag:
    """Base of components without data: `class Frozen(Tag): ...`."""

    __hz_fields__: typing.ClassVar[tuple[Field, ...]] = ()
    __hz_role__: typing.ClassVar[str] = "component"

    def __init_subclass__(cls) -> None:
        if cls.__dict__.get("__annotations__"):
            raise DefinitionError(f"tag {cls.__name__} has fields; a tag carries no data: make it a @component")


def _field_dtype(owner: str, name: str, annotation: Any) -> np.dtype[Any]:
    for extra in typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ():
        if isinstance(extra, np.dtype):
            return extra
    raise DefinitionError(f"{owner}.{name}: a field's type must be {_FIELD_TYPES}, not {annotation!r}")


def _field_default(owner: str, name: str, dtype: np.dtype[Any], default: Any) -> Any:
    """The default as a plain number that the column holds unchanged."""
    if isinstance(default, bool | int | float | np.generic):
        try:
            with np.errstate(all="ignore"):
                value = np.array(default).astype(dtype)
        except (TypeError, ValueError, OverflowError):
            value = None
        if value is not None and (dtype.kind == "f" or value == default):
            return value.item()
    raise DefinitionError(f"{owner}.{name}: the default {default!r} is no {dtype.name}")


def _read_fields(cls: type, what: str) -> tuple[Field, ...]:
    """The annotated fields of a class, checked; annotations may be strings and name what stands around the class."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    try:
        hints = typing.get_type_hints(cls, localns=dict(frame.f_locals), include_extras=True)
    except NameError as error:
        raise DefinitionError(f"{what} {cls.__name__}: {error}; a field's type must be {_FIELD_TYPES}") from None
    fields = []
    for name in cls.__dict__.get("__annotations__", {}):
        if name.startswith("_"):
            raise DefinitionError(f"{cls.__name__}.{name}: a field's name must not begin with an underscore")
        dtype = _field_dtype(cls.__name__, name, hints[name])
        fields.append(Field(name, dtype, _field_default(cls.__name__, name, dtype, cls.__dict__.get(name, 0))))
    if not fields:
        raise DefinitionError(
            f"{what} {cls.__name__} has no fields" + ("; without data it is a Tag" if what == "component" else "")
        )
    return tuple(fields)


def _as_record(cls: C, fields: tuple[Field, ...], role: str) -> C:
    """Note what the class is; give it a constructor, repr and equality, with defaults for fields that aren't given."""
    for field in fields:
        setattr(cls, field.name, field.default)
    made: Any = dataclasses.dataclass(cls)
    made.__hz_fields__, made.__hz_role__ = fields, role
    return typing.cast(C, made)


@dataclass_transform()
def component(cls: C) -> C:
    """Declare a component: a class whose annotated fields become columns.

    Fields have the types f4, f8, i1 … u8, b1 and defaults of 0 unless given. Instances are plain values, as `World.get`
    returns them and as a system can be called with in a test.

    Raises
    ------
    DefinitionError
        No fields, or a field whose type or default is none of these; the message names it.
    """
    if not isinstance(cls, type):
        raise DefinitionError(f"@component decorates a class, not {cls!r}")
    return _as_record(cls, _read_fields(cls, "component"), "component")


@dataclass_transform()
def resource(cls: C) -> C:
    """Declare a resource: one value of the whole world that systems read with `Res[...]`; fields as for a component."""
    return _as_record(cls, _read_fields(cls, "resource"), "resource")


@overload
def event(cls: C) -> C: ...
@overload
def event(*, name: str) -> Callable[[C], C]: ...
def event(cls: C | None = None, *, name: str | None = None) -> Any:
    """Declare an event that clients send: fixed fields, so that a tick's input decodes as one array.

    Parameters
    ----------
    name : str, optional
        Its name on the wire; by default the class's in snake_case.
    """

    def decorate(cls: C) -> C:
        fields = _read_fields(cls, "event")
        made = _as_record(cls, fields, "event")
        made.__hz_event__ = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()  # type: ignore[attr-defined]
        made.__hz_dtype__ = np.dtype([(f.name, f.dtype.newbyteorder("<")) for f in fields])  # type: ignore[attr-defined]
        return made

    return decorate if cls is None else decorate(cls)


@resource
class Time:
    """The built-in resource of time: `dt` in seconds, fixed; the number of the tick; seconds since the first."""

    dt: f4
    tick: i8
    elapsed: f8


def is_component(value: Any) -> bool:
    """Whether `value` is a component class."""
    return role_of(value) == "component" and value is not Tag


def role_of(value: Any) -> str:
    """What a class was declared as: "component", "resource" or "event"; nothing for any other value."""
    return getattr(value, "__hz_role__", "") if isinstance(value, type) else ""


def component_type(value: Any) -> Component:
    """`value`, if it is a component class; DefinitionError otherwise."""
    if not is_component(value):
        raise DefinitionError(f"expected a component class (@component or a subclass of Tag), got {value!r}")
    return typing.cast(type, value)


def fields_of(component: Component) -> tuple[Field, ...]:
    """The fields of a component, event or resource, in order."""
    return typing.cast(tuple[Field, ...], component.__hz_fields__)  # type: ignore[attr-defined]


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the most similar of `names`, or nothing: for error messages."""
    close = difflib.get_close_matches(name, list(names), 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclasses.dataclass(frozen=True)
class Layer:
    """One channel of a kind's replication: who is within `radius` gets `fields`, `frequency` times a second.

    Parameters
    ----------
    channel : int
        0 critical, 1 detailed, 2 cosmetic, 3 metadata; up to 7.
    radius : float
        World units around the entity; may be infinite.
    frequency : float
        Hz; rounded to whole ticks, and never above the world's tick rate.
    fields : sequence of component classes
        What travels; a field travels on the fastest of the channels that list it and whose radius covers the observer.
    precision : float or {component: float}, optional
        Floats are rounded to multiples of it (world units). float32 fields without one travel as they are.
    priority : int
        For budgets: a higher one goes first.

    Raises
    ------
    DefinitionError
    """

    channel: int
    radius: float
    frequency: float
    fields: tuple[Component, ...]
    precision: float | Mapping[Component, float] | None = None
    priority: int = 0

    def __init__(
        self,
        channel: int,
        radius: float,
        frequency: float,
        fields: Iterable[Component],
        precision: float | Mapping[Component, float] | None = None,
        priority: int = 0,
    ) -> None:
        if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel <= MAX_CHANNEL:
            raise DefinitionError(f"Layer: channel must be a whole number from 0 to {MAX_CHANNEL}, not {channel!r}")
        _check_positive("radius", channel, radius, finite=False)
        _check_positive("frequency", channel, frequency)
        if isinstance(fields, type) or not isinstance(fields, Iterable):
            raise DefinitionError(f"Layer of channel {channel}: fields is a sequence of components, not {fields!r}")
        listed = tuple(component_type(c) for c in fields)
        if not listed or len(set(listed)) != len(listed):
            raise DefinitionError(f"Layer of channel {channel}: fields must list at least one component, each once")
        strangers = [c for c in precision if c not in listed] if isinstance(precision, Mapping) else []
        if strangers:
            raise DefinitionError(
                f"Layer of channel {channel}: precision names {strangers[0]!r}, which fields doesn't list"
            )
        if not isinstance(priority, int):
            raise DefinitionError(f"Layer of channel {channel}: priority must be a whole number, not {priority!r}")
        for value in precision.values() if isinstance(precision, Mapping) else [precision]:
            if value is not None:
                _check_positive("precision", channel, value)
        values: tuple[Any, ...] = (channel, float(radius), float(frequency), listed, precision, priority)
        for name, value in zip(
            ("channel", "radius", "frequency", "fields", "precision", "priority"), values, strict=True
        ):
            object.__setattr__(self, name, value)

    def precision_of(self, component: Component) -> float | None:
        """The precision that applies to a component's float fields."""
        return self.precision.get(component) if isinstance(self.precision, Mapping) else self.precision


def _check_positive(name: str, channel: int, value: Any, finite: bool = True) -> None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if not sound or (finite and not math.isfinite(value)):
        raise DefinitionError(f"Layer of channel {channel}: {name} must be a positive number, not {value!r}")


class Kind:
    """A bundle of components, some of them optional, with its replication layers.

    Parameters
    ----------
    name : str
    components : component classes
        What every entity of the kind has.
    optional : sequence of component classes
        What one may have or not, changing at run time.
    layers : sequence of Layer
        At most one a channel; without layers the kind stays on the server. Radii grow with the channel's number,
        frequencies fall.

    Raises
    ------
    DefinitionError
    """

    __slots__ = ("components", "layers", "name", "optional")
    name: str
    components: tuple[Component, ...]
    optional: tuple[Component, ...]
    layers: tuple[Layer, ...]

    def __init__(
        self, name: str, *components: Component, optional: Iterable[Component] = (), layers: Iterable[Layer] = ()
    ) -> None:
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"Kind: the first argument is its name, not {name!r}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "components", tuple(component_type(c) for c in components))
        object.__setattr__(self, "optional", tuple(component_type(c) for c in optional))
        every = self.components + self.optional
        names = [c.__name__ for c in every]
        if not every or len(set(names)) != len(names):
            raise DefinitionError(f"kind {name!r} needs at least one component, and each name once: {names}")
        object.__setattr__(self, "layers", tuple(sorted(layers, key=lambda layer: layer.channel)))
        self._check_layers()

    def _check_layers(self) -> None:
        for layer in self.layers:
            for c in layer.fields:
                if c not in self.components:
                    what = "is optional" if c in self.optional else "is none of its components"
                    raise DefinitionError(
                        f"kind {self.name!r}: the layer of channel {layer.channel} lists {c.__name__}, "
                        f"which {what}; layers carry required components"
                    )
        for inner, outer in zip(self.layers, self.layers[1:], strict=False):
            if inner.channel == outer.channel:
                raise DefinitionError(f"kind {self.name!r} has two layers of channel {inner.channel}")
            if inner.radius > outer.radius or inner.frequency < outer.frequency:
                raise DefinitionError(
                    f"kind {self.name!r}: channel {outer.channel} (radius {outer.radius:g}, {outer.frequency:g} Hz) "
                    f"must reach at least as far as "
                    f"channel {inner.channel} (radius {inner.radius:g}, {inner.frequency:g} Hz) and be no more frequent"
                )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"kind {self.name!r} can't be changed")

    def __repr__(self) -> str:
        parts = [c.__name__ for c in self.components] + [f"{c.__name__}?" for c in self.optional]
        return f"Kind({self.name!r}: {', '.join(parts)}; {len(self.layers)} layers)"
