"""Plain, slow twins of random draws."""

from __future__ import annotations

import math
from collections.abc import Sequence


def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """Twin of `systems.random.philox`: Philox4x32-10 as the paper's section 3.3 writes it, in Python's whole numbers."""
    left, right, keys = [counter[0], counter[2]], [counter[1], counter[3]], list(key)
    for _ in range(10):
        high_0, low_0 = divmod(left[0] * 0xD2511F53, 2**32)
        high_1, low_1 = divmod(left[1] * 0xCD9E8D57, 2**32)
        left, right = [high_1 ^ right[0] ^ keys[0], high_0 ^ right[1] ^ keys[1]], [low_1, low_0]
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return [left[0], right[0], left[1], right[1]]


def draw_bits(key: int, tick: int, handle: int, draw: int) -> tuple[int, int]:
    """Two numbers of 64 bits for one draw."""
    a, b, c, d = philox((draw, tick, handle % 2**32, handle >> 32), (key % 2**32, key >> 32))
    return a << 32 | b, c << 32 | d


def uniform(bits: tuple[int, int], low: float, high: float) -> float:
    """Twin of `systems.random.uniform`."""
    return low + (high - low) * ((bits[0] >> 11) / 2**53)


def normal(bits: tuple[int, int]) -> float:
    """Twin of `systems.random.normal`: Box and Muller, "A note on the generation of random normal deviates", 1958."""
    u, v = ((bits[0] >> 11) + 1) / 2**53, (bits[1] >> 11) / 2**53
    return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


def integers(bits: tuple[int, int], low: int, high: int) -> int:
    """Twin of `systems.random.integers`."""
    return low + (bits[0] * max(0, high - low) >> 64)
