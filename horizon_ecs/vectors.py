"""Vectors: the plain values of vector fields, as instances of components hold them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

LETTERS = "xyzw"


class Vector:
    """A few numbers: by index, and up to four of them by x, y, z and w.

    `Vector2`, `Vector3` and `Vector4` say the letters to an editor; this class takes any count.
    """

    __slots__ = ("_numbers",)
    _numbers: list[Any]

    def __init__(self, *numbers: float) -> None:
        object.__setattr__(self, "_numbers", list(numbers))

    def __getattr__(self, name: str) -> Any:
        at = LETTERS.find(name) if len(name) == 1 else -1
        if not 0 <= at < len(self._numbers) <= len(LETTERS):
            raise AttributeError(f"a vector of {len(self._numbers)} numbers has no {name!r}")
        return self._numbers[at]

    def __setattr__(self, name: str, value: Any) -> None:
        self.__getattr__(name)
        self._numbers[LETTERS.index(name)] = value

    def __getitem__(self, index: int) -> Any:
        return self._numbers[index]

    def __setitem__(self, index: int, value: Any) -> None:
        self._numbers[index] = value

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector | tuple | list) and self._numbers == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Vector:
        return type(self)(*self._numbers)

    def __deepcopy__(self, memo: dict[int, Any]) -> Vector:
        return type(self)(*self._numbers)

    def __reduce__(self) -> Any:
        return type(self), tuple(self._numbers)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._numbers, dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._numbers))})"


class Vector2(Vector):
    """Two numbers, x and y."""

    __slots__ = ()
    x: float
    y: float

    def __init__(self, x: float = 0.0, y: float = 0.0) -> None:
        super().__init__(x, y)


class Vector3(Vector):
    """Three numbers: x, y and z."""

    __slots__ = ()
    x: float
    y: float
    z: float

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
        super().__init__(x, y, z)


class Vector4(Vector):
    """Four numbers: x, y, z and w; a rotation as a quaternion too."""

    __slots__ = ()
    x: float
    y: float
    z: float
    w: float

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, w: float = 0.0) -> None:
        super().__init__(x, y, z, w)
