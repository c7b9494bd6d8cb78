"""Queries: entities that have some components and lack others, their values, and the ways to go over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from horizon_ecs import neighbours, tables, turns
from horizon_ecs.batches import Batch
from horizon_ecs.components import Component, component_type, fields_of
from horizon_ecs.errors import ArgumentError
from horizon_ecs.kinds import Kind
from horizon_ecs.matching import Matching

if TYPE_CHECKING:
    from horizon_ecs.handles import Handles
    from horizon_ecs.world import World


class Query(Matching):
    """Entities that have all of some components and none of others; made by `World.query`.

    What it found is kept until an entity is spawned or despawned or a component added or removed. A query stands for
    its handles wherever a world takes some: `world.despawn(query)`.

    Attributes
    ----------
    world : World
    components, without, optional, any_of : tuple of component classes
    kind : Kind, or None for all
    need, lack, either : int
        Bits of a signature of which a matching row has all, none, and at least one.
    """

    def asked_of(self, world: World) -> Query:
        """The same question to another world."""
        return world.query(
            *self.components, without=self.without, optional=self.optional, any_of=self.any_of, kind=self.kind,
            hidden=self.hidden,
        )  # fmt: skip

    @property
    def wording(self) -> str:
        """What is asked, such as "Position; without Frozen"."""
        parts = [", ".join(c.__name__ for c in self.components)]
        for word, some in (("without", self.without), ("optional", self.optional), ("any of", self.any_of)):
            parts += [f"{word} {', '.join(c.__name__ for c in some)}"] if some else []
        parts += [f"kind {self.kind.name}"] if self.kind else []
        return "; ".join(p for p in parts if p)

    def __repr__(self) -> str:
        return f"Query({self.wording}: {len(self)} entities)"

    def _repr_html_(self) -> str:
        return tables.to_html(self)

    # -- entities ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[int]:
        """Handles, one by one; whole arrays are faster: `handles`, `batches`."""
        return iter(self.handles.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The handles: so a query stands for them, `world.despawn(query)`."""
        return np.asarray(self.handles, dtype)

    def __contains__(self, handle: Any) -> bool:
        """Whether a handle's entity lives and matches."""
        if not self.world.alive(handle).all():
            return False
        slot = self.world._slot_of(handle)
        fits = bool(self.fits(self.world.signature[slot]))
        return fits and (self.kind is None or self.world.kind_of(handle).is_a(self.kind))

    def first(self) -> int:
        """The handle of the matching entity with the lowest slot; 0 where none matches."""
        return int(self.handles[0]) if len(self) else 0

    def single(self) -> int:
        """The handle of the one matching entity. Raises ArgumentError where there are none or several."""
        if len(self) != 1:
            raise ArgumentError(f"single() takes a query of exactly one entity; this is {self!r}")
        return int(self.handles[0])

    def sample(self, n: int, rng: np.random.Generator | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of `n` different entities, chosen at random, in random order.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator, optional
            By default the world's own.

        Raises
        ------
        ArgumentError
            Fewer than `n` match.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or not 0 <= n <= len(self):
            raise ArgumentError(f"n must be a whole number of entities from 0 to {len(self)}, not {n!r}")
        chosen = (self.world.rng if rng is None else rng).choice(len(self), n, replace=False)
        return self.handles[chosen]

    def select(self, mask: ArrayLike) -> NDArray[np.uint64]:
        """uint64[n_true]: the handles of those for which a mask holds, such as `query["Health.hp"] < 10`.

        Parameters
        ----------
        mask : bool[n]
            A truth value for each entity, in the query's order; what is masked doesn't hold.

        Raises
        ------
        ArgumentError
        """
        given = np.asarray(np.ma.filled(mask, False))
        if given.dtype != np.bool_ or given.shape != (len(self),):
            raise ArgumentError(
                f"mask must be bool[{len(self)}], a truth value for each entity of the query, not "
                f"{given.dtype.name}{list(given.shape)}"
            )
        return self.world.handles_of(self.slots[given])

    def sort_by(self, *keys: str, descending: bool | Sequence[bool] = False) -> NDArray[np.uint64]:
        """uint64[n]: the handles in the order of fields, such as "Health.hp"; the first counts most.

        Stable: equals stay in the order of their slots. NaN and missing values come last, whichever way.

        Parameters
        ----------
        *keys : str
            "Component.field" of the query's components.
        descending : bool, or one for each key

        Raises
        ------
        ArgumentError
        """
        return tables.sort_by(self, keys, descending)

    def group_by(self, key: str) -> tables.Groups:
        """Entities by the value of a field, such as "Team.id"; those without a value belong to no group.

        `for team, members in query.group_by("Team.id")` goes through them. Raises ArgumentError as `sort_by`.
        """
        return tables.group_by(self, key)

    def pairs_within(
        self, radius: float, position: Component | str | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Rows i and j, uint32[n] each, of all pairs of entities no further than a radius from each other.

        Each pair comes once, with i < j, in ascending order. Rows are slots: `world[Position].x[i]` and
        `world.handles_of(i)`. A tick's systems can use it as well: columns systems that take the World.

        Parameters
        ----------
        radius : float
            In the units of positions.
        position : component class or "Component.vector", optional
            Of the query's, with two or three numbers: x, y and maybe z. By default the one called Position. Entities
            of which one isn't finite, or that lack the component, are near nobody. There are no bounds.

        Raises
        ------
        ArgumentError

        Cost: O(n + pairs), also where the world is mostly empty or flat; 100,000 entities with ten neighbours each take
        about 40 ms.
        """
        return neighbours.pairs_within(self, radius, position)

    def near(
        self, points: ArrayLike | Handles, radius: float, position: Component | str | None = None
    ) -> neighbours.Near:
        """Handles of the query's entities no further than a radius from each of some points, or of some entities.

        `near[k]` are those near the k-th, by slot; `near.start` and `near.handles` have them all.

        Parameters
        ----------
        points : float[m, 2] or float[m, 3], or handles
            As many numbers as positions have. An entity that is given by its handle isn't near itself; it needn't be
            one of the query's.
        radius, position
            As for `pairs_within`.

        Raises
        ------
        ArgumentError, StaleHandleError

        Cost: O(n + m + found); 100,000 points among 100,000 entities, ten near each, about 80 ms.
        """
        return neighbours.near(self, points, radius, position)

    def changed(self, component: Component, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of those whose values of a component changed in tick `since` or later.

        The component must be tracked, but needn't be one of the query's; see `World.changed`.
        """
        return self._masked(self.world.changed(component, since))

    def added(self, component: Component | Kind, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of those that gained a component in tick `since` or later; see `World.added`."""
        return self._masked(self.world.added(component, since))

    def entered(self, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of those that came to match in tick `since` or later, and match still.

        By being spawned, gaining or losing a component, or being shown. Call `world.track(query)` before.

        Raises
        ------
        ArgumentError
            The query isn't tracked; or as for `World.changed`.
        """
        return self._masked(self.world.changes.added(self, since))

    def left(self, since: int | None = None) -> NDArray[np.uint64]:
        """uint64[n]: the handles of those that ceased to match in tick `since` or later, whether they live or not.

        By ending, gaining or losing a component, or being hidden. Call `world.track(query)` before. Tick after tick,
        by slot within a phase; one that left twice is named twice. Raises as `World.removed`.
        """
        return self.world.changes.removed(self, since)

    def _masked(self, mask: NDArray[np.bool_]) -> NDArray[np.uint64]:
        return self.world.handles_of(self.slots[mask[self.slots]])

    # -- values ------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A copy of the values that `to_dict` has under a name such as "Health.hp", or of a vector, "Body.pos".

        A vector's are an array [n, length]. They are masked where the component is optional. Raises ArgumentError.
        """
        return tables.named(self, name)

    def arrays(self, component: Component) -> NDArray[Any]:
        """A component's values as an array [n, fields], a copy; a masked one where the component is optional.

        Its fields must be numbers of one kind: whole ones, unsigned ones or floats. Raises ArgumentError.
        """
        fields = fields_of(component_type(component))
        if not fields:
            raise ArgumentError(f"{component.__name__} has no fields that would make an array")
        if len({f.dtype.kind for f in fields}) > 1:
            found = ", ".join(f"{f.name} {f.dtype.name}" for f in fields)
            raise ArgumentError(
                f"{component.__name__} has {found}, which one array would mix; take "
                f"query['{component.__name__}.{fields[0].name}'], or query.to_records()"
            )
        stack = np.ma.stack if component in self.optional else np.stack
        out: NDArray[Any] = stack([tables.values_of(self, component, f) for f in fields], axis=1)
        return out

    def to_dict(self) -> dict[str, NDArray[Any]]:
        """Everything as copies: "handle", and "Component.field" for each field of each component of the query.

        An optional component's fields are masked arrays, and "Component" is bool[n]: who has it. What is an enum in
        components is its whole number here, and in records and frames.
        """
        return tables.to_dict(self)

    def to_records(self) -> NDArray[Any]:
        """The same as a structured array[n], for `numpy.save` or `query.to_records()[["handle", "Health.hp"]]`.

        Where an optional component is missing its floats are NaN, and other fields have their default: "Component"
        tells.
        """
        return tables.to_records(self)

    def to_frame(self, package: str | None = None) -> Any:
        """The same as a data frame, one row an entity.

        Parameters
        ----------
        package : "pandas" or "polars", optional
            By default the first of them that is installed.

        Returns
        -------
        pandas.DataFrame or polars.DataFrame : missing values are NaN or NA in pandas, null in polars.

        Raises
        ------
        ArgumentError
            It isn't installed; the message tells what to install.
        """
        return tables.to_frame(self, package)

    # -- batches -----------------------------------------------------------------------------------------------

    def batches(self, write: Sequence[Component] = ()) -> Iterator[tuple[Batch, ...]]:
        """All matching rows in a few batches, a `Batch` a component, in the query's order; tags are left out.

        Optional components come after the others, and their batches have `present`, bool[n]. Runs of whole pages come
        without a copy. The rest comes gathered in one batch, which is written back after it was used. Only the
        components in `write` can be written. Who ends while one batch is used is in none that follows.
        """
        for _, batch in turns.with_rows(self, write):
            yield batch
