"""Plain, slow twins of differences and codes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.naive_wire import Writer, unzz, wrap, zz


def residual(order: int, now: int, before: int, difference: int) -> int:
    """What a predictor missed, given the value before and its last difference."""
    return unzz((now ^ before) & 0xFFFFFFFF) if order == 3 else wrap(now - (0, before, before + difference)[order])


def rice_length(value: int, k: int) -> int:
    """Bits of a Rice code (docs/wire.md); 48 where it is raw, and where it isn't at most 47."""
    writer = Writer()
    writer.rice(value, k)
    return writer.n_bits


def rice_costs(residuals: Iterable[int]) -> list[int]:
    """Twin of `rice.measure_rice`: what each parameter would cost."""
    folded = [zz(r) for r in residuals]
    return [sum(rice_length(z, k) for z in folded) for k in range(32)]


def recount(residuals: Iterable[int], ks: Iterable[int]) -> list[int]:
    """Twin of `recount.recount`: the length of each field's code."""
    return [rice_length(zz(r), k) for r, k in zip(residuals, ks, strict=True)]


def encode_record(
    residuals: Sequence[int], orders: Sequence[int], moved: bool, ks: Sequence[int]
) -> tuple[int, int, bool, bool]:
    """Twin of `delta.encode_records`, one record: code and its length (0 and 63 where it has no room), moved, missed."""
    writer = Writer()
    for r, k in zip(residuals, ks, strict=True):
        writer.rice(zz(r), k)
    long = writer.n_bits > 55 or any(rice_length(zz(r), k) == 48 for r, k in zip(residuals, ks, strict=True))
    absolute = 0 in orders
    code, length = (0, 63) if long else (writer.value, writer.n_bits)
    return code, length, moved or absolute, any(residuals) or absolute
