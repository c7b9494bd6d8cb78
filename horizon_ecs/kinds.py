"""Kinds and layers: bundles of components, and how their entities reach observers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from horizon_ecs import arguments
from horizon_ecs.components import Component, component_type, fields_of, is_object
from horizon_ecs.errors import DefinitionError

MAX_CHANNEL = 7
MAX_PROFILES = 31  # with a channel's number a profile's makes one byte, of which 255 means none
DEFAULT_PROFILE = "default"
COMPRESSIONS = ("auto", "none", "quantised", "delta", "linear", "deflate")


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
        Floats are rounded to multiples of it (world units). Without one a field's own precision counts (`hz.field`);
        float32 fields without any travel as they are. Angles and rotations have other units: of those only a
        precision given by component counts, or their own.
    priority : int
        For budgets: a higher one goes first.
    owner_only : bool
        Only the entity's owner follows it on this channel: whoever stands at it, or whom `Replicator.set_owner` names.
    compression : str or {component: str}, optional
        How values become bits. "auto", the default: "linear" for floats, angles and rotations with a precision, where
        the period is at most a quarter of a second; else "delta"; and where the period is 128 ticks or more, absolute.
        "linear": what a straight line from the last two values misses. "delta": the difference to the last value (of
        flags, the bits that toggled). "quantised": rounded to the precision, the value itself each time. "none":
        float32 as it is and integers as they are, each time; then in all layers that list the component. "deflate"
        is for components of texts and objects. In a component of several types, those that a choice isn't for take
        the nearest that is: the whole numbers beside "linear" floats the difference.

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
    owner_only: bool = False
    compression: str | Mapping[Component, str] = "auto"

    def __init__(
        self,
        channel: int,
        radius: float,
        frequency: float,
        fields: Iterable[Component],
        precision: float | Mapping[Component, float] | None = None,
        priority: int = 0,
        owner_only: bool = False,
        compression: str | Mapping[Component, str] = "auto",
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
        for what, given in (("precision", precision), ("compression", compression)):
            strangers = [c for c in given if c not in listed] if isinstance(given, Mapping) else []
            if strangers:
                raise DefinitionError(
                    f"Layer of channel {channel}: {what} names {strangers[0]!r}, which fields doesn't list"
                )
        if not isinstance(priority, int):
            raise DefinitionError(f"Layer of channel {channel}: priority must be a whole number, not {priority!r}")
        if not isinstance(owner_only, bool):
            raise DefinitionError(f"Layer of channel {channel}: owner_only must be True or False, not {owner_only!r}")
        for value in precision.values() if isinstance(precision, Mapping) else [precision]:
            if value is not None:
                _check_positive("precision", channel, value)
        values: tuple[Any, ...] = (
            channel, float(radius), float(frequency), listed, precision, priority, owner_only, compression
        )  # fmt: skip
        for field, value in zip(dataclasses.fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)
        for c in listed:
            _check_compression(channel, c, self.compression_of(c))

    def precision_of(self, component: Component) -> float | None:
        """The precision that applies to a component's float fields."""
        return self.precision.get(component) if isinstance(self.precision, Mapping) else self.precision

    def compression_of(self, component: Component) -> str:
        """The compression of a component's fields; "auto" where none is named."""
        return self.compression.get(component, "auto") if isinstance(self.compression, Mapping) else self.compression


def _check_positive(name: str, channel: int, value: Any, finite: bool = True) -> None:
    sound = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if not sound or (finite and not math.isfinite(value)):
        raise DefinitionError(f"Layer of channel {channel}: {name} must be a positive number, not {value!r}")


def _check_compression(channel: int, component: Component, choice: Any) -> None:
    """Refuse what is no compression, or one of texts for numbers and the other way round."""
    if choice not in COMPRESSIONS:
        raise DefinitionError(
            f"Layer of channel {channel}: compression must be one of {list(COMPRESSIONS)}, not {choice!r}"
        )
    possible = ("auto", "none", "deflate") if is_object(component) else COMPRESSIONS[:-1]
    if choice not in possible:
        what = "Python objects" if is_object(component) else "numbers"
        raise DefinitionError(
            f"Layer of channel {channel}: compression {choice!r} isn't for {component.__name__}, a component of "
            f"{what}, which takes one of {list(possible)}"
        )


def _by_component(kind: str, defaults: Iterable[Any], known: Sequence[Component]) -> dict[Component, Any]:
    """Default instances by their component; of a tag True."""
    found: dict[Component, Any] = {}
    for value in defaults:
        c = value if isinstance(value, type) else type(value)
        if c not in known or (isinstance(value, type) and (fields_of(c) or is_object(c))):
            raise DefinitionError(
                f"kind {kind!r}: defaults takes instances of its components, or its tags, not {value!r}"
            )
        if any(f.is_entity and getattr(value, f.name) for f in fields_of(c)):
            raise DefinitionError(
                f"kind {kind!r}: defaults can't refer to an entity, which lives in one world: {value!r}"
            )
        if c in found:
            raise DefinitionError(f"kind {kind!r}: defaults gives {c.__name__} twice")
        found[c] = True if isinstance(value, type) else value
    return found


def _profiles_of(kind: str, profiles: Any) -> dict[str, tuple[Layer, ...]]:
    """Layers by profile, each ordered by channel."""
    if profiles is None:
        return {}
    if not isinstance(profiles, Mapping):
        raise DefinitionError(f"kind {kind!r}: profiles is a mapping from names to layers, not {profiles!r}")
    found = {}
    for name, layers in profiles.items():
        if not isinstance(name, str) or name in ("", DEFAULT_PROFILE):
            raise DefinitionError(
                f"kind {kind!r}: a profile has a name other than {DEFAULT_PROFILE!r}, which is its layers; not {name!r}"
            )
        what = f"kind {kind!r}: profile {name!r}"
        listed = arguments.sequence(what, layers, "layers, such as [Layer(...)]", DefinitionError)
        found[name] = tuple(sorted(listed, key=lambda layer: layer.channel))
    return found


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
    extends : Kind, optional
        Another kind, whose components this one has too, and its layers of channels that `layers` doesn't give. A
        query by that kind finds this one's entities as well.
    profiles : {name: sequence of Layer}
        Other layers that entities of the kind have while they are in another state, such as docked or in combat (see
        `Replicator.set_profile`); without any, nobody sees them in it. An entity begins in "default", which is
        `layers`. Those of the kind that it extends count unless it gives its own.
    defaults : sequence of instances and tags
        What entities of the kind have where nothing is given, instead of the components' own defaults; an optional
        component among them is added at birth. Those of the kind that it extends count unless it gives its own.

    Raises
    ------
    DefinitionError
    """

    __slots__ = ("components", "defaults", "extends", "layers", "name", "optional", "profiles")
    name: str
    components: tuple[Component, ...]
    optional: tuple[Component, ...]
    layers: tuple[Layer, ...]
    profiles: Mapping[str, tuple[Layer, ...]]
    extends: Kind | None
    defaults: Mapping[Component, Any]

    def __init__(
        self,
        name: str,
        *components: Component,
        optional: Iterable[Component] = (),
        layers: Iterable[Layer] = (),
        profiles: Mapping[str, Iterable[Layer]] | None = None,
        extends: Kind | None = None,
        defaults: Iterable[Any] = (),
    ) -> None:
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"Kind: the first argument is its name, not {name!r}")
        if extends is not None and not isinstance(extends, Kind):
            raise DefinitionError(f"kind {name!r}: extends takes another Kind, not {extends!r}")
        listed = arguments.sequence(
            f"kind {name!r}: optional", optional, "components, such as [Shield]", DefinitionError
        )
        own, own_optional = [component_type(c) for c in components], [component_type(c) for c in listed]
        base, base_optional = (extends.components, extends.optional) if extends else ((), ())
        # What the other kind has as an optional component may be one that each of this kind has.
        kept = [c for c in base_optional if c not in own]
        every = [*base, *own, *kept, *own_optional]
        names = [c.__name__ for c in every]
        if not every or len(set(names)) != len(names):
            raise DefinitionError(f"kind {name!r} needs at least one component, and each name once: {names}")
        layers = arguments.sequence(f"kind {name!r}: layers", layers, "layers, such as [Layer(...)]", DefinitionError)
        given = {layer.channel for layer in layers}
        inherited = [layer for layer in (extends.layers if extends else ()) if layer.channel not in given]
        values: dict[str, Any] = {
            "name": name, "extends": extends, "components": (*base, *own), "optional": (*kept, *own_optional),
            "layers": tuple(sorted([*layers, *inherited], key=lambda layer: layer.channel)),
            "profiles": {**(extends.profiles if extends else {}), **_profiles_of(name, profiles)},
            "defaults": {**(extends.defaults if extends else {}), **_by_component(name, defaults, every)},
        }  # fmt: skip
        for slot, value in values.items():
            object.__setattr__(self, slot, value)
        self._check_layers(self.layers)
        if self.profiles and not self.layers:
            raise DefinitionError(f"kind {name!r} has profiles, but no layers for entities that are in none of them")
        if len(self.profiles) >= MAX_PROFILES:
            raise DefinitionError(
                f"kind {name!r} has {len(self.profiles)} profiles; at most {MAX_PROFILES - 1} are possible"
            )
        for given_layers in self.profiles.values():
            self._check_layers(given_layers)

    @property
    def every_profile(self) -> tuple[tuple[str, tuple[Layer, ...]], ...]:
        """Each profile's name and layers, "default" first."""
        return (DEFAULT_PROFILE, self.layers), *self.profiles.items()

    def is_a(self, other: Kind) -> bool:
        """Whether this is the other kind or extends it, directly or through others."""
        return self is other or (self.extends is not None and self.extends.is_a(other))

    def _check_layers(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            for c in layer.fields:
                if c not in self.components:
                    what = "is optional" if c in self.optional else "is none of its components"
                    raise DefinitionError(
                        f"kind {self.name!r}: the layer of channel {layer.channel} lists {c.__name__}, "
                        f"which {what}; layers carry required components"
                    )
        for inner, outer in itertools.pairwise(layers):
            if inner.channel == outer.channel:
                raise DefinitionError(f"kind {self.name!r} has two layers of channel {inner.channel}")
            reaches = inner.radius <= outer.radius or inner.owner_only or outer.owner_only
            if not reaches or inner.frequency < outer.frequency:
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
