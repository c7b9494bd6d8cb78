"""Fields: what one annotation of a component stands for, which is one column, or one for each number of a vector."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.access import ENTITY
from horizon_ecs.errors import DefinitionError
from horizon_ecs.vectors import LETTERS, Vector, Vector2, Vector3, Vector4

f2: TypeAlias = Annotated[float, np.dtype("f2")]
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
vec2: TypeAlias = Annotated[Vector2, np.dtype(("f4", (2,)))]
vec3: TypeAlias = Annotated[Vector3, np.dtype(("f4", (3,)))]
vec4: TypeAlias = Annotated[Vector4, np.dtype(("f4", (4,)))]
_ROTATION: Any = object()
quat: TypeAlias = Annotated[Vector4, np.dtype(("f4", (4,))), _ROTATION]
"""A rotation as a quaternion x, y, z, w; the identity by default."""

_FIELD_TYPES = (
    "f2, f4, f8, i1, i2, i4, i8, u1, u2, u4, u8, b1, vec2, vec3, vec4, quat, hz.Entity, an enum, a NumPy scalar type "
    "such as np.complex64, or Annotated[..., np.dtype(...)]"
)
MAX_WIDTH = 64
_NOT_GIVEN: Any = object()


@dataclasses.dataclass(frozen=True)
class Field:
    """One column of a component, or one number of an event or resource.

    Attributes
    ----------
    name : str
        Of a vector's numbers "position.x", or "weights.0" where there are more than four.
    dtype, default
    unit : str
        For people and tools: "m", "rad/s".
    low, high : number, optional
        What may be given to `spawn`, `add` and `set`.
    precision : float, optional
        What a replication layer rounds to where it names none itself.
    enum : enum class, optional
        Whose values the numbers are.
    is_entity : bool
        The numbers are handles, 0 for none.
    vector : str
        The vector that this is a part of.
    fixed : bool
        Only calls of the world write it; systems and whoever sees its column can only read it.
    angle : bool
        Radians, of which whole turns don't matter.
    rotation : bool
        A part of a quaternion.
    """

    name: str
    dtype: np.dtype[Any]
    default: Any = 0
    unit: str = ""
    low: Any = None
    high: Any = None
    precision: float | None = None
    enum: type[enum.Enum] | None = None
    is_entity: bool = False
    vector: str = ""
    fixed: bool = False
    angle: bool = False
    rotation: bool = False

    @property
    def members(self) -> dict[str, int]:
        """The numbers of the enum's members, by name."""
        return {name: int(member.value) for name, member in self.enum.__members__.items()} if self.enum else {}

    def from_number(self, number: Any) -> Any:
        """A column's number as a plain value: a Python number, or a member of the enum."""
        plain = number if self.dtype.kind in "mM" else number.item()
        if self.enum is None:
            return plain
        try:
            return self.enum(plain)
        except ValueError:  # a kernel may write what no member is
            return plain


@dataclasses.dataclass(frozen=True)
class Options:
    """What `field` was given."""

    default: Any
    unit: str
    range: tuple[Any, Any]
    precision: float | None
    angle: bool


def field(
    *,
    default: Any = _NOT_GIVEN,
    unit: str = "",
    range: tuple[Any, Any] = (None, None),
    precision: float | None = None,
    angle: bool = False,
) -> Any:
    """Describe a field beyond its type: `hp: i2 = hz.field(default=100, unit="hp", range=(0, 100))`.

    Parameters
    ----------
    default : number, vector or member of the enum, optional
        0 or the first member unless given; within the range.
    unit : str
        For people and tools.
    range : (lowest, highest)
        Values given to `spawn`, `add` and `set` outside it are refused; None for no bound. Systems aren't checked.
    precision : float, optional
        What a replication layer rounds to where it names none itself; in the field's unit.
    angle : bool
        The field is an angle in radians, f4 or f8: whole turns don't matter, and clients have it between -π and π.
        A layer rounds it to a power of two of steps a turn, none wider than the precision (2π/4096 by default).

    Raises
    ------
    DefinitionError
    """
    if not isinstance(unit, str):
        raise DefinitionError(f"field: unit must be a text, not {unit!r}")
    if not isinstance(range, tuple) or len(range) != 2:
        raise DefinitionError(f"field: range must be (lowest, highest), with None for no bound, not {range!r}")
    if None not in range and not range[0] <= range[1]:
        raise DefinitionError(f"field: range must be ascending, not {range!r}")
    if precision is not None and not (isinstance(precision, int | float) and 0 < precision < float("inf")):
        raise DefinitionError(f"field: precision must be a positive number, not {precision!r}")
    if not isinstance(angle, bool):
        raise DefinitionError(f"field: angle must be True or False, not {angle!r}")
    return Options(default, unit, range, precision, angle)


def read_fields(cls: type, what: str) -> tuple[Field, ...]:
    """The annotated fields of a class, checked; annotations may be strings and name what stands around the class."""
    frame, ours = sys._getframe(2), ("horizon_ecs.components", "horizon_ecs.relations")
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(ours):
        frame = frame.f_back
    try:
        hints = typing.get_type_hints(cls, localns=dict(frame.f_locals), include_extras=True)
    except NameError as error:
        raise DefinitionError(f"{what} {cls.__name__}: {error}; a field's type must be {_FIELD_TYPES}") from None
    fields: list[Field] = []
    for name in cls.__dict__.get("__annotations__", {}):
        if name.startswith("_"):
            raise DefinitionError(f"{cls.__name__}.{name}: a field's name must not begin with an underscore")
        fields += _columns(cls.__name__, name, hints[name], cls.__dict__.get(name, _NOT_GIVEN))
    if not fields:
        raise DefinitionError(
            f"{what} {cls.__name__} has no fields" + ("; without data it is a Tag" if what == "component" else "")
        )
    return tuple(fields)


def _columns(owner: str, name: str, annotation: Any, given: Any) -> Iterator[Field]:
    """The columns of one annotated name."""
    options = given if isinstance(given, Options) else Options(given, "", (None, None), None, False)
    values, dtype = _enum_of(annotation), _dtype_of(owner, name, annotation)
    extras = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()
    base, width = dtype.base, int(np.prod(dtype.shape))
    make = dataclasses.replace(
        Field(name, _checked(owner, name, base)), unit=options.unit, low=options.range[0], high=options.range[1],
        precision=options.precision, enum=values, is_entity=ENTITY in extras, angle=options.angle,
        rotation=_ROTATION in extras
    )  # fmt: skip
    _check_angle(owner, make)
    if not dtype.shape:
        yield dataclasses.replace(make, default=_default(owner, make, options.default))
        return
    if len(dtype.shape) != 1 or not 1 <= width <= MAX_WIDTH:
        raise DefinitionError(f"{owner}.{name}: a vector has one dimension of 1 to {MAX_WIDTH}, not {dtype.shape}")
    default = (0.0, 0.0, 0.0, 1.0) if make.rotation and options.default is _NOT_GIVEN else options.default
    defaults = list(default) if isinstance(default, Sequence | Vector) else [default] * width
    if len(defaults) != width:
        raise DefinitionError(f"{owner}.{name}: the default has {len(defaults)} numbers; the vector has {width}")
    parts = LETTERS[:width] if width <= len(LETTERS) else [str(i) for i in range(width)]
    for part, default in zip(parts, defaults, strict=True):
        one = dataclasses.replace(make, name=f"{name}.{part}", vector=name)
        yield dataclasses.replace(one, default=_default(owner, one, default))


def _check_angle(owner: str, of: Field) -> None:
    """Refuse an angle that is no number of radians."""
    if of.angle and (of.dtype not in (np.float32, np.float64) or of.rotation):
        what = "a rotation" if of.rotation else f"a {of.dtype.name}"
        raise DefinitionError(f"{owner}.{of.name}: an angle is an f4 or f8 of radians, not {what}")


def _enum_of(annotation: Any) -> type[enum.Enum] | None:
    plain = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    return plain if isinstance(plain, type) and issubclass(plain, enum.Enum) else None


def _dtype_of(owner: str, name: str, annotation: Any) -> np.dtype[Any]:
    """The dtype that an annotation asks for; a subarray's for a vector."""
    extras = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()
    for extra in extras:
        if isinstance(extra, np.dtype):
            return extra
    if ENTITY in extras:
        return np.dtype(np.uint64)
    values = _enum_of(annotation)
    if values is not None:
        return _narrowest(owner, name, values)
    if isinstance(annotation, type) and issubclass(annotation, np.generic):
        return np.dtype(annotation)
    hint = {float: "; write f4 or f8", int: "; write i4 or another width", bool: "; write b1"}.get(annotation, "")
    if annotation in (str, bytes, dict, list) or typing.get_origin(annotation) in (dict, list):
        hint = "; strings and Python objects live in an @object_component"
    raise DefinitionError(f"{owner}.{name}: a field's type must be {_FIELD_TYPES}, not {annotation!r}{hint}")


def _narrowest(owner: str, name: str, values: type[enum.Enum]) -> np.dtype[Any]:
    """The smallest integer that holds every member of an enum, and every combination of flags."""
    numbers = [member.value for member in values]
    if not numbers or not all(isinstance(n, int) for n in numbers):
        raise DefinitionError(f"{owner}.{name}: the enum {values.__name__} must have whole numbers as values")
    low, high = min(numbers), max(numbers)
    if issubclass(values, enum.Flag):
        low, high = 0, int(np.bitwise_or.reduce(np.array(numbers, np.uint64)))
    for code in ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8"):
        bounds = np.iinfo(code)
        if bounds.min <= low and high <= bounds.max:
            return np.dtype(code)
    raise DefinitionError(f"{owner}.{name}: no integer of 64 bits holds every value of {values.__name__}")


def _checked(owner: str, name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype that columns can have, in the machine's byte order."""
    if dtype.kind not in "biufcmM" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise DefinitionError(f"{owner}.{name}: a field's type must be {_FIELD_TYPES}, not {dtype}")
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] == "generic":
        raise DefinitionError(f"{owner}.{name}: {dtype} needs a unit, such as np.dtype('{dtype.kind}8[ms]')")
    return dtype.newbyteorder("=")


def _default(owner: str, of: Field, default: Any) -> Any:
    """The default as a plain number that the column holds unchanged."""
    if default is _NOT_GIVEN:
        default = next(iter(of.enum)).value if of.enum and not issubclass(of.enum, enum.Flag) else 0
    if of.enum is not None and isinstance(default, of.enum):
        default = default.value
    value = None
    if isinstance(default, bool | int | float | complex | np.generic):
        try:
            with np.errstate(all="ignore"):
                value = np.array(default).astype(of.dtype)
        except (TypeError, ValueError, OverflowError):
            value = None
    exact = value is not None and (of.dtype.kind in "fcmM" or value == default)
    if not exact or (of.dtype.kind == "f" and isinstance(default, complex)):
        raise DefinitionError(f"{owner}.{of.name}: the default {default!r} is no {of.dtype.name}")
    assert value is not None
    _check_range(f"{owner}.{of.name}", of, value)
    return value[()] if of.dtype.kind in "mM" else value.item()


def _check_range(name: str, of: Field, default: NDArray[Any]) -> None:
    """Refuse a default outside the range, and a range that the field's numbers can't be compared with."""
    try:
        low, high = of.low is None or bool(default >= of.low), of.high is None or bool(default <= of.high)
    except TypeError:
        raise DefinitionError(f"{name}: a {of.dtype.name} can't lie in the range {of.low!r} to {of.high!r}") from None
    if not (low and high):
        raise DefinitionError(f"{name}: the default {default} lies outside the range, {of.low} to {of.high}")


def attributes(fields: Sequence[Field]) -> dict[str, tuple[Field, ...]]:
    """The columns of each name that a class was given: one, or those of a vector."""
    found: dict[str, tuple[Field, ...]] = {}
    for one in fields:
        name = one.vector or one.name
        found[name] = (*found.get(name, ()), one)
    return found


def flatten(instance: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """An instance's numbers by column."""
    out: dict[str, Any] = {}
    for name, columns in attributes(fields).items():
        value = getattr(instance, name)
        parts = value if columns[0].vector else (value,)
        for one, number in zip(columns, parts, strict=True):
            out[one.name] = number.value if isinstance(number, enum.Enum) else number
    return out


def build(cls: type, fields: Sequence[Field], numbers: Mapping[str, Any]) -> Any:
    """An instance from the numbers of its columns (NumPy scalars)."""
    made: dict[str, Any] = {}
    for name, columns in attributes(fields).items():
        plain = [one.from_number(numbers[one.name]) for one in columns]
        made[name] = vector_type(columns)(*plain) if columns[0].vector else plain[0]
    return cls(**made)


def vector_type(columns: Sequence[Field]) -> type[Vector]:
    """The class of a vector's values."""
    named: dict[int, type[Vector]] = {2: Vector2, 3: Vector3, 4: Vector4}
    return named.get(len(columns), Vector)


def default_of(columns: Sequence[Field]) -> Any:
    """What a name of an instance has where nothing is given."""
    if columns[0].vector:
        return vector_type(columns)(*(one.default for one in columns))
    return columns[0].from_number(np.array(columns[0].default, columns[0].dtype)[()])


def convert(columns: Sequence[Field], value: Any) -> Any:
    """A value given to a constructor, as instances keep it: sequences become vectors, numbers members of an enum."""
    if columns[0].vector and not isinstance(value, Vector):
        return vector_type(columns)(*value)
    kind = columns[0].enum
    if kind is not None and not isinstance(value, kind):
        try:
            return kind(value)
        except ValueError:
            return value
    return value


def stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays of one length as a read-only (n, width): without a copy where they lie at equal distances."""
    first = arrays[0]
    starts = [a.__array_interface__["data"][0] for a in arrays]
    steps = {b - a for a, b in itertools.pairwise(starts)}
    if len(steps) > 1 or any(a.strides != first.strides for a in arrays):
        out = np.stack(arrays, axis=1)
    else:
        step = steps.pop() if steps else first.itemsize
        shape = (len(first), len(arrays))
        out = np.lib.stride_tricks.as_strided(first, shape, (first.strides[0], step), writeable=False)
    out.flags.writeable = False
    return out
