"""The schema of a stream: from kinds to plain data that is sent (docs/wire.md), and from that to the tables kernels
read.

Server and client build their tables by the same function from the same data, so that what one means is what the other
reads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.coding import MAX_GROUP_FIELDS as MAX_GROUP_FIELDS
from horizon_ecs.coding import WORD_BITS, code_component, period_of
from horizon_ecs.components import Component
from horizon_ecs.errors import DefinitionError, WireError
from horizon_ecs.kinds import MAX_PROFILES, Kind, Layer
from horizon_ecs.messages import describe_messages, describe_texts
from horizon_ecs.systems.bits import index_bits

MAX_CHANNELS = 8  # a mask is one byte
MAX_GROUPS = 8  # so are an entry's stale bits
MAX_KINDS = 255  # an entry holds its kind in one byte
NO_CHANNEL = 255
N_RATES = 4  # an observer's channels can be due 1, 2, 4 or 8 times more seldom
MIN_DEPTH = 16  # ticks of history, so that the quickest channels can be slowed down whatever predicts their fields
CODECS = ("quantised", "integer", "bits", "angle", "rotation", "packed")


def _describe_kind(
    kind: Kind, profile: str, of_profile: Sequence[Layer], position: Component, n_channels: int, tick_rate: float
) -> dict[str, Any]:
    """One profile of a kind. All of them have the same groups, so that a value outlives a change of profile."""
    channels: list[dict[str, Any] | None] = [None] * n_channels
    for layer in of_profile:
        channels[layer.channel] = {
            "period": period_of(layer, tick_rate),
            "radius": float(layer.radius),
            "frequency": float(layer.frequency),
            **({"owner_only": True} if layer.owner_only else {}),
        }
    groups = []
    for component in kind.components:
        every = [layer for _, layers in kind.every_profile for layer in layers if component in layer.fields]
        if not every:
            continue
        layers = [layer for layer in of_profile if component in layer.fields]
        listed = sum(1 << layer.channel for layer in layers)
        groups += [
            {"component": component.__name__, "channels": listed, "fields": fields}
            for fields in code_component(kind.name, component, layers, every, n_channels, tick_rate)
        ]
    if len(groups) > MAX_GROUPS:
        raise DefinitionError(
            f"kind {kind.name!r} replicates {len(groups)} groups of up to {MAX_GROUP_FIELDS} fields; at most "
            f"{MAX_GROUPS} are possible"
        )
    named = {"profile": profile} if kind.profiles else {}
    texts = describe_texts(kind, of_profile)
    return {
        "name": kind.name, **named, "position": position.__name__, "channels": channels, "groups": groups,
        **({"texts": texts} if texts else {}),
    }  # fmt: skip


def describe(
    kinds: Sequence[Kind], position: Component, *, tick_rate: float, n_slots: int, max_followed: int,
    messages: Mapping[type, int] | None = None
) -> dict[str, Any]:  # fmt: skip
    """The schema of `kinds`, all of which have layers, as plain data (docs/wire.md, "schema").

    Raises
    ------
    DefinitionError
        A kind can't be replicated as declared; the message names kind and field.
    """
    profiles = [(kind, name, layers) for kind in kinds for name, layers in kind.every_profile]
    if len(profiles) > MAX_KINDS:
        raise DefinitionError(f"{len(profiles)} kinds and profiles have layers; at most {MAX_KINDS} can be replicated")
    n_channels = 1 + max((layer.channel for _, _, layers in profiles for layer in layers), default=0)
    schema: dict[str, Any] = {
        "n_slots": n_slots,
        "n_channels": n_channels,
        "max_followed": max_followed,
        "kinds": [_describe_kind(*profile, position, n_channels, tick_rate) for profile in profiles],
        "events": [],
    }
    describe_messages(schema, messages)
    tables = compile_tables(schema)
    for kind, reaches in zip(schema["kinds"], np.maximum(tables.reach, tables.period).tolist(), strict=False):
        for channel, reach in zip(kind["channels"], reaches, strict=True):
            slowest = sum(reach << rate < tables.depth for rate in range(1, N_RATES))
            if channel is not None and slowest:
                channel["slowest"] = slowest
    return schema


def unbound(schema: Mapping[str, Any]) -> None:
    """Make every radius of a schema infinite."""
    for kind in schema["kinds"]:
        for channel in kind["channels"]:
            if channel is not None:
                channel["radius"] = math.inf


@dataclass(frozen=True)
class Track:
    """What is quantised once a tick, for all channels that send it with this step.

    Attributes
    ----------
    component, name : str
        Of a packed field the names of its parts, joined.
    codec : str
    scale : float
    parts : tuple of (name, offset, low, high)
        Of a packed field.
    """

    component: str
    name: str
    codec: str
    scale: float
    parts: tuple[tuple[str, int, int, int], ...] = ()


@dataclass(frozen=True)
class Tables:
    """What kernels read of a schema: K kinds, C channels, G groups at most, 4 fields at most.

    Attributes
    ----------
    period : int64[K, C]             ticks, 0 where the kind has no layer
    slowest : int64[K, C]            how many times a channel's period can double
    radius : float64[K, C]           world units, -1 where the kind has no layer
    kind_channels : int64[K]         bit mask
    owner_only : int64[K]            bit mask of the channels that only an entity's owner follows
    group_channels : int64[K, G]     bit mask of the channels that list the group
    carrier : uint8[K, G, 256]       by mask: the lowest of them that is followed, or 255
    n_groups : int64[K]
    n_fields : int64[K, G]
    order : uint8[K, C, G, 4]        predictor: 3 toggled bits, 2 linear, 1 previous value, 0 none
    scale : float64[K, C, G, 4]      world units a step
    track : int32[K, C, G, 4]        index into `tracks`
    tracks : list of Track           those of a rotation one behind the other
    first_parameter : int64[K, C, G] number of the first field's Rice parameter
    n_parameters : int
    bits : int64[3]                  widths of a kind, a slot, a mask
    profiles : int64[K, 3]           the kind's first profile, how many it has, the bits that tell which
    """

    period: NDArray[np.int64]
    slowest: NDArray[np.int64]
    radius: NDArray[np.float64]
    kind_channels: NDArray[np.int64]
    owner_only: NDArray[np.int64]
    group_channels: NDArray[np.int64]
    carrier: NDArray[np.uint8]
    n_groups: NDArray[np.int64]
    n_fields: NDArray[np.int64]
    order: NDArray[np.uint8]
    scale: NDArray[np.float64]
    track: NDArray[np.int32]
    tracks: list[Track]
    first_parameter: NDArray[np.int64]
    n_parameters: int
    bits: NDArray[np.int64]
    profiles: NDArray[np.int64]

    @functools.cached_property
    def longest_period(self) -> int:
        """The longest period of any layer, in ticks."""
        return int(self.period.max(initial=1))

    @functools.cached_property
    def depth(self) -> int:
        """Rows of history that every predictor together needs, a power of two."""
        return max(MIN_DEPTH, 1 << int(self.reach.max(initial=1)).bit_length())

    @functools.cached_property
    def reach(self) -> NDArray[np.int64]:
        """int64[K, C]: ticks back to the oldest value that a channel's predictors look at."""
        periods = np.array([0, 1, 2, 1])[self.order]
        reach: NDArray[np.int64] = periods.max(axis=(2, 3), initial=0) * self.period
        return reach

    @functools.cached_property
    def periods(self) -> NDArray[np.int64]:
        """int64[4, K, C]: `period` by rate; a channel's doubles with each, up to its slowest."""
        return self.period << np.minimum(np.arange(N_RATES)[:, None, None], self.slowest)

    def carried(self) -> NDArray[np.bool_]:
        """bool[K, C, G, 4]: the fields that exist, on the channels that list them."""
        channels = np.arange(self.order.shape[1])[None, :, None]
        listed = (self.group_channels[:, None, :] >> channels) & 1 == 1
        exists = np.arange(MAX_GROUP_FIELDS) < self.n_fields[:, :, None]
        carried: NDArray[np.bool_] = listed[..., None] & exists[:, None, :, :]
        return carried


def _carriers(group_channels: int) -> NDArray[np.uint8]:
    """For every mask the lowest channel that is both followed and lists the group."""
    out = np.full(256, NO_CHANNEL, np.uint8)
    for mask in range(256):
        both = mask & group_channels
        if both:
            out[mask] = (both & -both).bit_length() - 1
    return out


def _fill(tables: Tables, k: int, kind: Mapping[str, Any], numbers: dict[Track, int]) -> None:
    """Write one kind's part of the tables."""
    for c, channel in enumerate(kind["channels"]):
        if channel is not None:
            tables.period[k, c] = int(channel["period"])
            tables.slowest[k, c] = int(channel.get("slowest", 0))
            tables.radius[k, c] = float(channel["radius"])
            tables.kind_channels[k] |= 1 << c
            tables.owner_only[k] |= int(channel.get("owner_only", False) is True) << c
    tables.n_groups[k] = len(kind["groups"])
    for j, group in enumerate(kind["groups"]):
        tables.n_fields[k, j] = len(group["fields"])
        tables.group_channels[k, j] = int(group["channels"])
        tables.carrier[k, j] = _carriers(int(group["channels"]))
        for c in (c for c in range(len(kind["channels"])) if int(group["channels"]) >> c & 1):
            for f, field in enumerate(group["fields"]):
                order, scale = int(field["params"][c][0]), float(field["params"][c][1])
                tables.order[k, c, j, f] = order
                tables.scale[k, c, j, f] = scale
                parts = tuple((p["name"], p["offset"], p["low"], p["high"]) for p in field.get("parts", ()))
                key = Track(str(group["component"]), str(field["name"]), str(field["codec"]), scale, parts)
                tables.track[k, c, j, f] = numbers.setdefault(key, len(numbers))


def _is_sound_group(group: Mapping[str, Any], present: int) -> bool:
    """Whether its numbers are within their limits; `present` are the channels that the kind has."""
    fields = group["fields"]
    sound = 1 <= len(fields) <= MAX_GROUP_FIELDS and group["channels"] & ~present == 0
    codecs = [field["codec"] for field in fields]
    sound = sound and ("rotation" not in codecs or codecs == ["rotation"] * MAX_GROUP_FIELDS)
    for field in fields:
        listed = sum(1 << c for c, params in enumerate(field["params"]) if params is not None)
        sound = sound and listed == group["channels"] and field["codec"] in CODECS
        sound = sound and all(p[0] in (0, 1, 2, 3) and 0 < p[1] < math.inf for p in field["params"] if p is not None)
        parts = field["parts"] if field["codec"] == "packed" else []
        sound = sound and all(isinstance(p[name], str) for p in parts for name in ("name", "type"))
        sound = sound and all(p["offset"] >= 0 <= p["width"] <= WORD_BITS - p["offset"] for p in parts)
        sound = sound and all(0 <= p["high"] - p["low"] < 1 << p["width"] for p in parts)
    return sound


def _check(schema: Mapping[str, Any]) -> None:
    """Refuse a schema whose numbers no table can hold."""
    n_channels = schema["n_channels"]
    kinds = schema["kinds"]
    sound = 1 <= n_channels <= MAX_CHANNELS and 1 <= schema["n_slots"] <= 2**32 and len(kinds) <= MAX_KINDS
    sound = sound and 1 <= schema["max_followed"] <= 2**20
    names: list[Any] = []
    profiles = _find_profiles(kinds)
    sound = sound and int(profiles[:, 1].max()) <= MAX_PROFILES
    for k, kind in enumerate(kinds):
        names += [kind["name"], kind["position"], kind.get("profile", "")]
        sound = sound and _same_groups(kinds[profiles[k, 0]], kind)
        present = sum(1 << c for c, channel in enumerate(kind["channels"]) if channel is not None)
        sound = sound and len(kind["channels"]) == n_channels and len(kind["groups"]) <= MAX_GROUPS
        sound = sound and all(1 <= c["period"] < 2**31 for c in kind["channels"] if c is not None)
        sound = sound and all(0 <= c.get("slowest", 0) < N_RATES for c in kind["channels"] if c is not None)
        for group in kind["groups"]:
            sound = sound and _is_sound_group(group, present)
            names += [group["component"], *(text for f in group["fields"] for text in (f["name"], f["type"]))]
    if not sound or not all(isinstance(name, str) for name in names):
        raise WireError(
            "the schema has a number outside its limits, a name that is no text, or channels that don't fit"
        )


def _same_groups(first: Mapping[str, Any], kind: Mapping[str, Any]) -> bool:
    """Whether a profile has the fields of its kind's first one."""
    a, b = ([(g["component"], [f["name"] for f in g["fields"]]) for g in k["groups"]] for k in (first, kind))
    return a == b and [t["id"] for t in first.get("texts", ())] == [t["id"] for t in kind.get("texts", ())]


def compile_tables(schema: Mapping[str, Any]) -> Tables:
    """The tables of a schema.

    Raises
    ------
    WireError
        The schema isn't what docs/wire.md says.
    """
    try:
        _check(schema)
        return _compile(schema)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise WireError(f"the schema is malformed: {type(error).__name__}: {error}") from error


def _find_profiles(kinds: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    """Of each kind: the number of its first profile, how many it has, and the bits that tell which."""
    out = np.zeros((max(1, len(kinds)), 3), np.int64)
    first = 0
    for k, kind in enumerate(kinds):
        same = "profile" in kind and "profile" in kinds[first] and kind["name"] == kinds[first]["name"]
        first = first if same else k
        out[k, 0] = first
    for k in range(len(out)):
        count = int(np.count_nonzero(out[:, 0] == out[k, 0]))
        out[k, 1:] = count, int(index_bits(count))
    return out


def _compile(schema: Mapping[str, Any]) -> Tables:
    kinds = schema["kinds"]
    n_kinds, n_channels = max(1, len(kinds)), schema["n_channels"]
    n_groups = max([1, *(len(kind["groups"]) for kind in kinds)])
    shape = (n_kinds, n_channels, n_groups, MAX_GROUP_FIELDS)
    widths = [int(index_bits(len(kinds))), int(index_bits(schema["n_slots"])), n_channels]
    first_parameter = np.full(shape[:3], -1, np.int64)
    tracks: dict[Track, int] = {}
    n = 0
    for k, kind in enumerate(kinds):
        for c in range(n_channels):
            for j, group in enumerate(kind["groups"]):
                first_parameter[k, c, j] = n
                n += len(group["fields"])
    tables = Tables(
        period=np.zeros((n_kinds, n_channels), np.int64),
        slowest=np.zeros((n_kinds, n_channels), np.int64),
        radius=np.full((n_kinds, n_channels), -1.0),
        kind_channels=np.zeros(n_kinds, np.int64),
        owner_only=np.zeros(n_kinds, np.int64),
        group_channels=np.zeros((n_kinds, n_groups), np.int64),
        carrier=np.full((n_kinds, n_groups, 256), NO_CHANNEL, np.uint8),
        n_groups=np.zeros(n_kinds, np.int64),
        n_fields=np.zeros((n_kinds, n_groups), np.int64),
        order=np.zeros(shape, np.uint8),
        scale=np.ones(shape, np.float64),
        track=np.zeros(shape, np.int32),
        tracks=[],
        first_parameter=first_parameter,
        n_parameters=n,
        bits=np.array(widths, np.int64),
        profiles=_find_profiles(kinds),
    )
    for k, kind in enumerate(kinds):
        _fill(tables, k, kind, tracks)
    tables.tracks.extend(tracks)
    return tables
