"""The scripts that both client libraries are held to are what the Python classes do today."""

from __future__ import annotations

import json

import pytest

from tests.make_vectors import FOLDER, SCRIPTS, make


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-7, abs=1e-7)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return one == other


@pytest.mark.parametrize("name", SCRIPTS)
def test_they_are_up_to_date(name):
    written = json.loads((FOLDER / f"{name}.json").read_text())
    assert same(written, make(name)), "python -m tests.make_vectors writes them anew"


def test_there_are_no_others():
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(SCRIPTS)
