"""Saving: the methods by which a world is written, read, copied and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from horizon_ecs import copying, savefile
from horizon_ecs.diff import Diff, compare
from horizon_ecs.entities import Entities
from horizon_ecs.errors import ArgumentError
from horizon_ecs.kinds import Kind
from horizon_ecs.parts import digest_of, parts_of
from horizon_ecs.restore import Classes, build
from horizon_ecs.snapshot import Snapshot

if TYPE_CHECKING:
    from horizon_ecs.world import World


class Saving(Entities):
    """Entities whose world can be kept: in a file, in another world, or as a hash."""

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compress: bool = False,
        about: Mapping[str, Any] | None = None,
        skip_resources: Iterable[type] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Write the whole state to a file (docs/snapshot.md), which is there whole or not at all.

        An existing file stays until the new one has reached the disk. Columns are written as they are read, without a
        second copy of them in memory.

        Parameters
        ----------
        path : path of the file
        compress : bool
            By zlib: smaller, and ten to twenty times slower to save.
        about : map of plain data, optional
            For the application; `Snapshot.read(path).about` gives it back.
        skip_resources : sequence of resource types
            Left out. Others must be declared with @resource.
        progress : function of (bytes done, bytes in all), optional

        Raises
        ------
        SnapshotError
            The world holds what no file can; the message names it.
        ArgumentError
            It was called by a system.
        OSError
        """
        if self.is_ticking:
            raise ArgumentError("save() was called by a system; a world is saved between ticks")
        header, sections = parts_of(self._world, skip_resources)
        savefile.write(path, {**header, "about": dict(about or {})}, sections, compress, progress)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        kinds: Iterable[Kind],
        resources: Iterable[type] = (),
        events: Iterable[type] = (),
        migrate: Callable[[Snapshot], Snapshot] | None = None,
        max_bytes: int | None = None,
        **options: Any,
    ) -> Self:
        """A world from a file: handles, random numbers and all that waits go on from where they were; add the systems
        again.

        Parameters
        ----------
        path : path of the file
        kinds, resources, events : sequences
            The kinds of what lived, and classes of what was inserted or waits. Others may be among them.
        migrate : function from Snapshot to Snapshot, optional
            Called where the file is of another schema; what it doesn't give takes its default.
        max_bytes : int, optional
            As for `Snapshot.read`.
        **options
            Of the world, such as `capacity`; `states` lists a member of each state that the world was in.

        Raises
        ------
        SnapshotError
            The file is truncated, corrupted, newer, or of another schema; the message says what differs. Or the
            capacity is too small for it.
        ArgumentError, OSError
        """
        classes = Classes.of(kinds, resources, events, options.get("states", ()))
        return cast(
            Self, build(cast("type[World]", cls), Snapshot.read(path, max_bytes=max_bytes), classes, migrate, options)
        )

    def clone(self) -> Self:
        """An independent world in the same state, with the same systems; resources are copied.

        Memory of a world that nobody holds any more is given back when Python's garbage collector next looks at it. To
        roll back again and again, keep one clone and use `copy_from`.

        Raises ArgumentError within a tick.
        """
        return cast(Self, copying.clone(self._world))

    def copy_from(self, other: World) -> None:
        """Take over another world's state, in place: handles of that world are valid here, and columns stay where they
        are.

        Systems stay this world's own, and so do callbacks. What tracking has noticed follows where both have the same
        systems and kinds, as a clone has; else it begins anew. Nothing is allocated that grows with the world.

        Raises
        ------
        ArgumentError
            Within a tick; it has kinds that can't be registered here, or another seed than this world's systems draw
            with; or this world has a state that it lacks.
        CapacityError
            It doesn't fit.
        """
        copying.copy_into(self._world, other)

    def digest(self, *, skip_resources: Iterable[type] = ()) -> str:
        """SHA-256, as hex, over what `save` writes as state: equal where `diff` finds nothing. Raises as `save`."""
        return digest_of(*parts_of(self._world, skip_resources))

    def diff(self, other: World, *, skip_resources: Iterable[type] = ()) -> Diff:
        """What differs between this world (left) and another one (right), entity by entity. Raises as `save`."""
        copying.check_world("other", other)
        skipped = list(skip_resources)
        return compare(*(Snapshot.of(world, skip_resources=skipped) for world in (self._world, other)))

    @property
    def _world(self) -> World:
        """The world, which this is a part of."""
        return cast("World", self)
