"""Horizon's scenario: what is timed is checked, and the check finds what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import document, reference
from horizon_ecs import observed
from horizon_ecs.replication import Replicator

N = 60


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(reference, "WARM_ROUNDS", 3)


@pytest.fixture
def _sparse(monkeypatch):
    """Movers so far apart that all radii tell some from others."""
    monkeypatch.setattr(reference, "SPACING", 230.0)


@pytest.mark.parametrize("mode", reference.MODES)
@pytest.mark.usefixtures("_sparse")
def test_what_is_followed_is_what_brute_force_says(mode):
    row = reference.measure(N, mode, 6, threads=1)
    assert reference.is_right(row)
    assert 0 < row["pairs"] < N * N  # somebody is out of sight
    assert row["checked_observers"] == N
    assert row["decoded_observers"] == reference.MAX_DECODED
    assert row["updates"] > row["pairs"] // 2
    assert row["round_ms_median"] <= row["round_ms_max"]


@pytest.mark.usefixtures("_sparse")
def test_every_mask_occurs():
    scenario = reference.Scenario(200, "declared", 1)
    recipients = reference.Recipients(scenario, np.arange(200))
    for _ in range(4):
        recipients.check(scenario.round().tick)
    assert recipients.wrong == 0
    assert {0, 0b1000, 0b1100, 0b1110, 0b1111} <= set(np.unique(recipients.mask).tolist())


@pytest.mark.usefixtures("_sparse")
def test_one_who_is_followed_wrongly_is_found(monkeypatch):
    followed = Replicator.followed

    def tampered(self, observer):
        return followed(self, observer)[: -1 if observer == 3 else None]

    monkeypatch.setattr(Replicator, "followed", tampered)
    row = reference.measure(N, "every", 1, threads=1)
    assert row["wrong_pairs"] == 1 + reference.WARM_ROUNDS
    assert not reference.is_right(row)


@pytest.mark.usefixtures("_sparse")
def test_a_radius_that_is_not_kept_is_found(monkeypatch):
    scenario = reference.Scenario(N, "every", 1)
    monkeypatch.setattr(reference, "RADII", (*reference.RADII[:3], 900.0))
    recipients = reference.Recipients(scenario, np.arange(N))
    recipients.check(scenario.round().tick)
    assert recipients.wrong > 0


def test_a_wrong_value_is_found(monkeypatch):
    apply = observed.Replica.apply

    def tampered(self, frame):
        apply(self, frame)
        self._q[0] += np.int32(1)

    monkeypatch.setattr(observed.Replica, "apply", tampered)
    row = reference.measure(N, "every", 1, threads=1)
    assert row["mismatches"] > 0
    assert not reference.is_right(row)


def test_the_command_prints_and_writes_a_row_a_size(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(reference, "UPSTREAM_MS", {N: 1e6})
    page = tmp_path / "page.md"
    page.write_text("\n".join(reference.MARKERS), encoding="utf-8")
    small = ["--movers", str(N), "20", "--rounds", "1", "--threads", "1", "--write", str(page)]
    assert reference.main([*small, "--json"]) == 0
    sizes = json.loads(capsys.readouterr().out)["sizes"]
    assert [(row["movers"], row["mode"]) for row in sizes] == [(n, mode) for n in (20, N) for mode in reference.MODES]
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["20", str(N)]
    assert " 1,000,000 |" in lines[-1]
    assert reference.main(small) == 0
    assert str(N) in capsys.readouterr().out


def test_a_table_says_what_is_wrong():
    row = dict.fromkeys(("pairs", "checked_pairs", "decoded_values", "round_ms_median", "bytes_per_update"), 1)
    row |= {"movers": 250, "wrong_pairs": 0, "mismatches": 0}
    modes = [{**row, "mode": "every"}, {**row, "mode": "declared", "mismatches": 1}]
    assert "| WRONG |" in document.markdown(reference.table({"sizes": modes}))


@pytest.mark.parametrize("arguments", [["--movers", "1"], ["--rounds", "0"], ["--movers"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        reference.main(arguments)
    assert arguments[0] in capsys.readouterr().err
