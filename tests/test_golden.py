"""The golden streams: today's server still writes them, both Python clients read them, and together they use all of the wire."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from horizon_ecs import kernel
from horizon_ecs.replica import Replica
from tests import naive, naive_wire
from tests.make_golden import FOLDER, STREAMS, golden, plain, spoken
from tests.streams import table_of, texts_of, told_by

MAX_BYTES = 256_000


def load(name: str) -> dict[str, Any]:
    """A stream as its file has it, infinite radii made numbers again."""

    def restore(pairs):
        return {key: math.inf if (key, value) == ("radius", "inf") else value for key, value in pairs}

    stream = json.loads((FOLDER / f"{name}.json").read_text(), object_pairs_hook=restore)
    stream["frames"] = [bytes.fromhex(frame) for frame in stream["frames"]]
    return stream


def test_the_folder_holds_these_streams_and_stays_small():
    files = sorted(FOLDER.glob("*.json"))
    assert [file.stem for file in files] == sorted(STREAMS)
    assert sum(file.stat().st_size for file in files) < MAX_BYTES


@pytest.mark.parametrize("name", STREAMS)
def test_both_clients_read_them(name):
    stream = load(name)
    replica, client = Replica(stream["schema"], phase=stream["phase"]), naive.Client(stream["schema"], stream["phase"])
    for frame, table, told in zip(stream["frames"], stream["tables"], stream["told"], strict=True):
        replica.apply(frame)
        naive.apply_frame(client, frame)
        assert {str(handle): {"mask": mask, "q": q} for handle, _, mask, _, q in table_of(replica)} == table
        assert {str(e.handle): {"mask": e.mask, "q": e.q} for e in client.entries} == table
        assert spoken(replica) == told
        assert (told_by(replica), texts_of(replica)) == (client.messages, client.texts)
    of_replica = {str(handle): row["values"] for handle, row in replica.to_dict().items()}
    of_client = {str(e.handle): naive.values(client, e) for e in client.entries}
    assert plain(of_replica) == plain(of_client) == stream["values"]


@pytest.mark.parametrize("name", STREAMS if kernel.jit_enabled() else ["crowd", "herd"])
def test_todays_server_writes_the_same_bytes(name):
    stream, again = load(name), golden(name)
    assert [bytes.fromhex(frame) for frame in again["frames"]] == stream["frames"]
    assert again["tables"] == stream["tables"]
    assert again["told"] == stream["told"]
    assert again["phase"] == stream["phase"]
    assert again["values"] == stream["values"]


def test_together_they_use_all_of_the_wire(monkeypatch):
    """Each flag, mode, codec and predictor; leaves, moves and enters; silent ticks; codes of every length class."""
    flags, silences, lengths, widths = set(), set(), set(), set()
    n_modes = [0] * 4
    read_rice, read_wide = naive_wire.Reader.rice, naive_wire.Reader.wide

    def rice(reader, k):
        before = reader.left
        value = read_rice(reader, k)
        lengths.add(before - reader.left)
        return value

    def wide(reader):
        value = read_wide(reader)
        widths.add(value.bit_length())
        return value

    monkeypatch.setattr(naive_wire.Reader, "rice", rice)
    monkeypatch.setattr(naive_wire.Reader, "wide", wide)
    seen: dict[str, set[Any]] = {"codec": set(), "order": set(), "structure": set()}
    for name in STREAMS:
        stream = load(name)
        client = naive.Client(stream["schema"], stream["phase"])
        for frame in stream["frames"]:
            before = [(e.handle, e.mask) for e in client.entries]
            naive.apply_frame(client, frame)
            flags.add(frame[0])
            if not frame[0] & naive_wire.RESET:
                silences.add(frame[1] > 1)
                seen["structure"] |= changes(before, [(e.handle, e.mask) for e in client.entries])
        n_modes = [a + b for a, b in zip(n_modes, client.n_modes, strict=True)]
        fields = [f for kind in stream["schema"]["kinds"] for group in kind["groups"] for f in group["fields"]]
        seen["codec"] |= {f["codec"] for f in fields}
        seen["order"] |= {params[0] for f in fields for params in f["params"] if params}
    assert {flag >> 4 & 3 for flag in flags} == {0, 1, 2, 3}
    whole = {flag for flag in flags if not flag & 0x70}
    assert whole == {0, 2, 4, 6, 7, 8, 10, 12, 14, 15}  # a reset frame always has parameters and structure
    assert {64, 68} <= flags
    assert silences == {False, True}
    assert min(n_modes) > 0, n_modes
    assert {1, 48} <= lengths
    assert {0, 1, 32} <= widths
    assert seen == {
        "codec": {"quantised", "integer", "bits", "angle", "rotation", "packed"},
        "order": {0, 1, 2, 3},
        "structure": {"leave", "move", "enter"},
    }


def changes(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> set[str]:
    old, new = dict(before), dict(after)
    happened = {"leave"} if old.keys() - new.keys() else set()
    happened |= {"enter"} if new.keys() - old.keys() else set()
    return happened | ({"move"} if any(new.get(h, m) != m for h, m in before) else set())
