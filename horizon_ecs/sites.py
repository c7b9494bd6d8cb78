"""Sites: the places in a system's body that ask for something, and how what they ask travels in words of 8 bytes.

All sites of a system share one buffer. A record is the site's number, the entity that asked or is meant, and one word
for each number given; the buffer is seen as int64 and as float64.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from horizon_ecs.fields import Field

DESPAWN, ADD, REMOVE, SPAWN, EMIT = range(5)
COMMANDS = {"despawn": DESPAWN, "add": ADD, "remove": REMOVE, "spawn": SPAWN}
HEAD = 2  # words of a record before its values: site, entity


@dataclasses.dataclass(frozen=True)
class Site:
    """One call in a body.

    Attributes
    ----------
    operation : DESPAWN, ADD, REMOVE, SPAWN or EMIT
    target : the component, kind or event; None for DESPAWN
    values : (component or event, its fields that are given) of each constructor, in the order of their words
    """

    operation: int
    target: Any = None
    values: tuple[tuple[type, tuple[Field, ...]], ...] = ()

    @property
    def n_words(self) -> int:
        """Of a record."""
        return HEAD + sum(len(fields) for _, fields in self.values)

    def decode(self, records: NDArray[np.int64]) -> dict[type, dict[str, NDArray[Any]]]:
        """The values of records int64[n, words]: by component or event and field, in the fields' own dtypes."""
        out: dict[type, dict[str, NDArray[Any]]] = {}
        at = HEAD
        for owner, fields in self.values:
            out[owner] = {}
            for field in fields:
                word = np.ascontiguousarray(records[:, at])
                numbers = word.view(np.float64) if field.dtype.kind == "f" else word
                out[owner][field.name] = numbers.astype(field.dtype)
                at += 1
        return out


def stride_of(sites: tuple[Site, ...]) -> int:
    """Words of every record in a buffer."""
    return max((site.n_words for site in sites), default=HEAD)
