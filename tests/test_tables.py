"""Tables: queries as arrays, records and frames; sorted and grouped."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import b1, f4, i2, u1
from tests.game import Frozen, Fuel, Health, Position, Rock, Ship, Velocity


@hz.component
class Team:
    id: u1
    weight: f4
    leads: b1


@hz.component
class Rank:
    level: i2 = 7


@hz.component
class Body:
    pos: hz.vec2


@hz.component
class Aim:
    at: hz.vec2


Moving = hz.Kind("Moving", Body, optional=[Aim])
Soldier = hz.Kind("Soldier", Team, optional=[Rank, Frozen])


@pytest.fixture
def world() -> hz.World:
    """Six soldiers; the second and fifth have a rank, the last is frozen."""
    world = hz.World(capacity=1024)
    soldiers = world.spawn(
        Soldier,
        6,
        Team={
            "id": [2, 0, 2, 1, 0, 2],
            "weight": [1.0, np.nan, -2.0, 1.0, 5.0, 0.0],
            "leads": [True, False] * 3,
        },
    )
    world.add(soldiers[[1, 4]], Rank, [-3, 300])
    world.add(soldiers[5], Frozen)
    return world


def slots(handles: np.ndarray) -> list[int]:
    return (handles & np.uint64(0xFFFFFFFF)).tolist()


def test_everything_as_arrays(world):
    found = world.query(Team, optional=[Rank, Frozen]).to_dict()
    assert list(found) == ["handle", "Team.id", "Team.weight", "Team.leads", "Rank.level", "Rank", "Frozen"]
    assert found["Team.id"].tolist() == [2, 0, 2, 1, 0, 2]
    assert found["Rank.level"].tolist() == [None, -3, None, None, 300, None]
    assert found["Rank.level"].mean() == 148.5
    assert found["Rank"].tolist() == [False, True, False, False, True, False]
    assert np.flatnonzero(found["Frozen"]).tolist() == [5]
    assert found["Team.weight"].dtype == np.float32
    found["Team.id"][:] = 9
    assert world[Team].id[:6].tolist() == [2, 0, 2, 1, 0, 2]


def test_one_column_by_its_name(world):
    query = world.query(Team, optional=[Rank, Frozen])
    table = query.to_dict()
    for name, column in table.items():
        np.testing.assert_array_equal(query[name], column)
        assert np.ma.isMaskedArray(query[name]) == np.ma.isMaskedArray(column)
    query["Team.id"][:] = 9
    assert world[Team].id[:6].tolist() == [2, 0, 2, 1, 0, 2]
    with pytest.raises(hz.ArgumentError, match=r"no field 'Team.idd'; it has .*; did you mean 'Team.id'"):
        query["Team.idd"]


def test_a_vector_by_its_name_is_stacked():
    world = hz.World()
    bodies = world.spawn(Moving, 3, Body={"pos": [[1, 2], [3, 4], [5, 6]]})
    assert world.query(Body)["Body.pos"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert world.query(Body)["Body.pos.y"].tolist() == [2, 4, 6]
    world.add(bodies[1], Aim, {"at": (7, 8)})
    assert world.query(Body, optional=[Aim])["Aim.at"].tolist() == [[None] * 2, [7, 8], [None] * 2]


def test_a_choice_by_values(world):
    query = world.query(Team, optional=[Rank])
    assert slots(query.select(query["Team.id"] == 2)) == [0, 2, 5]
    assert slots(query.select([True] + [False] * 5)) == [0]
    assert slots(query.select(query["Rank.level"] > -9)) == [1, 4]  # who has none isn't chosen
    for mask in (query["Team.id"], query["Team.id"][:2] == 2, world.query(Team).mask):
        with pytest.raises(hz.ArgumentError, match=r"mask must be bool\[6\], a truth value for each entity .* not "):
            query.select(mask)


def test_an_array_of_fields(world):
    query = world.query(Team, optional=[Rank])
    assert query.arrays(Rank).tolist() == [[None], [-3], [None], [None], [300], [None]]
    with pytest.raises(hz.ArgumentError, match=r"id uint8, weight float32, leads bool.*query\['Team.id'\]"):
        query.arrays(Team)
    with pytest.raises(hz.ArgumentError, match="Frozen has no fields"):
        query.arrays(Frozen)


@pytest.mark.parametrize(
    "records", [{3: [1]}, {"Position": [1]}, {}, [1], np.zeros(2), {"Position.x": [1, 2], "Position.y": [1]}]
)
def test_what_are_no_records_is_refused(records):
    world = hz.World(capacity=100)
    with pytest.raises(hz.ArgumentError, match="records"):
        world.spawn(Ship, records=records)
    assert len(world) == 0


def test_records_stand_alone():
    world = hz.World()
    ships = world.spawn(Ship, 3, Position=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    world.add(ships[1], Fuel, 2.5)
    records = world.query(Position, Health, optional=[Fuel, Frozen]).to_records()
    assert records.dtype.names == (
        "handle", "Position.x", "Position.y", "Position.z", "Health.hp", "Fuel.amount", "Fuel", "Frozen"
    )  # fmt: skip
    assert records.dtype["Health.hp"] == np.int16
    assert records["handle"].tolist() == ships.tolist()
    assert records[["Position.y", "Health.hp"]].tolist() == [(2.0, 100), (5.0, 100), (8.0, 100)]
    np.testing.assert_array_equal(records["Fuel.amount"], np.array([np.nan, 2.5, np.nan], "f4"))
    assert records["Fuel"].tolist() == [False, True, False]


def test_records_of_whole_numbers_hold_the_default_where_there_is_none(world):
    assert world.query(Team, optional=[Rank]).to_records()["Rank.level"].tolist() == [7, -3, 7, 7, 300, 7]


def test_nothing_found_is_an_empty_table():
    world = hz.World(kinds=[Ship])
    query = world.query(Position, optional=[Fuel])
    assert query.to_records().shape == (0,)
    assert {len(column) for column in query.to_dict().values()} == {0}
    assert query.sort_by("Position.x").tolist() == []
    assert list(query.group_by("Position.x")) == []


def test_a_frame_of_pandas(world):
    pandas = pytest.importorskip("pandas")
    frame = world.query(Team, optional=[Rank, Frozen]).to_frame("pandas")
    assert frame["handle"].dtype == np.uint64
    assert frame["Team.weight"].dtype == np.float32
    assert frame["Rank.level"].isna().tolist() == [True, False, True, True, False, True]
    assert str(frame["Rank.level"].dtype) == "Int16"
    assert frame["Rank.level"].dropna().tolist() == [-3, 300]
    assert isinstance(world.query(Team).to_frame(), pandas.DataFrame)


def test_a_frame_of_polars(world):
    polars = pytest.importorskip("polars")
    frame = world.query(Team, optional=[Rank, Frozen]).to_frame("polars")
    assert frame.columns == ["handle", "Team.id", "Team.weight", "Team.leads", "Rank.level", "Rank", "Frozen"]
    assert frame["handle"].dtype == polars.UInt64
    assert frame["Rank.level"].dtype == polars.Int16
    assert frame["Rank.level"].to_list() == [None, -3, None, None, 300, None]


def test_a_frame_names_what_to_install(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    query = world.query(Team)
    with pytest.raises(hz.ArgumentError, match="to_frame needs polars, which isn't installed: pip install polars"):
        query.to_frame("polars")
    with pytest.raises(hz.ArgumentError, match="needs pandas or polars, which isn't installed: pip install pandas"):
        query.to_frame()
    with pytest.raises(hz.ArgumentError, match="of 'pandas' or of 'polars', not of 'arrow'"):
        query.to_frame("arrow")


def test_a_frame_is_made_by_what_is_there(world, monkeypatch):
    class Frame(dict):
        def with_columns(self, missing):
            assert missing == []
            return self

    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", type("polars", (), {"DataFrame": Frame}))
    assert world.query(Team).to_frame()["Team.id"].tolist() == [2, 0, 2, 1, 0, 2]


def test_sorting(world):
    query = world.query(Team, optional=[Rank])
    assert slots(query.sort_by("Team.id")) == [1, 4, 3, 0, 2, 5]
    assert slots(query.sort_by("Team.id", descending=True)) == [0, 2, 5, 3, 1, 4]
    assert slots(query.sort_by("Team.weight")) == [2, 5, 0, 3, 4, 1]
    assert slots(query.sort_by("Team.weight", descending=True)) == [4, 0, 3, 5, 2, 1]
    assert slots(query.sort_by("Rank.level")) == [1, 4, 0, 2, 3, 5]
    assert slots(query.sort_by("Rank.level", descending=True)) == [4, 1, 0, 2, 3, 5]
    assert slots(query.sort_by("Team.leads", "Team.weight", descending=[True, False])) == [2, 0, 4, 5, 3, 1]


@pytest.mark.parametrize(
    ("keys", "descending", "message"),
    [
        ((), False, "sort_by takes at least one field"),
        (("Team",), False, "no field 'Team'"),
        (("Team.wait",), False, "did you mean 'Team.weight'"),
        (("Rank.level",), False, "no field 'Rank.level'; it has"),
        (("Team.id",), [True, False], "one for each of 1 fields"),
    ],
)
def test_sorting_by_what_is_not_there(world, keys, descending, message):
    with pytest.raises(hz.ArgumentError, match=message):
        world.query(Team).sort_by(*keys, descending=descending)


def test_grouping(world):
    query = world.query(Team, optional=[Rank])
    groups = query.group_by("Team.id")
    assert groups.values.tolist() == [0, 1, 2]
    assert groups.values.dtype == np.uint8
    assert groups.start.tolist() == [0, 2, 3, 6]
    assert groups.sizes.tolist() == [2, 1, 3]
    assert len(groups) == 3
    assert [(value, slots(members)) for value, members in groups] == [(0, [1, 4]), (1, [3]), (2, [0, 2, 5])]
    assert [(value, slots(members)) for value, members in query.group_by("Rank.level")] == [(-3, [1]), (300, [4])]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0.0, -1.5, 2.0, np.nan, np.inf, -np.inf]), st.booleans()),
        max_size=40,
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_sorting_equals_python_s(rows, falling):
    world = hz.World(capacity=64, kinds=[Soldier])
    columns = zip(*rows, strict=True) if rows else [[], [], []]
    names = ["id", "weight", "leads"]
    world.spawn(Soldier, len(rows), Team=np.rec.fromarrays(columns, list(zip(names, ["u1", "f4", "?"], strict=True))))
    query = world.query(Team)

    def key(row: tuple[int, float, bool]) -> list[tuple[bool, float]]:
        return [
            (v != v, 0.0 if v != v else -v if down else v) for v, down in zip(map(float, row), falling, strict=True)
        ]

    expected = sorted(range(len(rows)), key=lambda i: key(rows[i]))
    assert slots(query.sort_by("Team.id", "Team.weight", "Team.leads", descending=falling)) == expected
    by_weight: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        by_weight.setdefault(str(row[1]), []).append(i)
    assert {str(value): slots(members) for value, members in query.group_by("Team.weight")} == by_weight


def test_a_query_may_be_of_several_kinds():
    world = hz.World()
    world.spawn(Ship, 2, Velocity=[[1, 0, 0], [2, 0, 0]])
    world.spawn(Rock, 1)
    found = world.query(Position, optional=[Velocity]).to_dict()
    assert found["Velocity.x"].tolist() == [1.0, 2.0, None]
