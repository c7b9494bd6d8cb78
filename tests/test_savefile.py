"""The file of a snapshot: whole or refused, and replaced in one step."""

from __future__ import annotations

import functools
import io
import os
import stat
import struct
import tempfile
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import horizon_ecs as hz
from horizon_ecs import packing, savefile
from tests import first_version as first
from tests import zoo


@pytest.fixture
def path(tmp_path):
    """A small file that has one of everything."""
    zoo.make(capacity=100).save(tmp_path / "a.world")
    return tmp_path / "a.world"


def small_world() -> hz.World:
    """A world whose file is as small as one can be."""
    world = hz.World(capacity=3)
    world.spawn(hz.Kind("K", zoo.Asleep), 2)
    return world


def loaded(path) -> hz.World:
    return hz.World.load(path, **zoo.EVERYTHING)


# -- the first version -------------------------------------------------------------------------------------------

FIRST = Path(__file__).parent / "golden" / "first.world"


def test_a_file_of_the_first_version_is_read():
    world = hz.World.load(FIRST, **first.EVERYTHING)
    probes, beacons = world.query(kind=first.Probe).handles, world.query(first.Clock, hidden=True).handles
    assert probes.tolist() == [1 << 32, 1 << 32 | 1, 1 << 32 | 3, 1 << 32 | 1024]
    assert world.get(probes[0], first.Reading) == first.Reading(at=(1, 2), value=0.5, valid=True, band=first.Band.LOW)
    assert world.get(beacons[1], first.Clock) == first.Clock(since=np.datetime64(1234, "ms"), phase=1 - 2j)
    assert world.get(probes[0], first.Label).notes == {"list": [1, 2.5, None, True, b"x"], 3: ("tuple", {4})}
    assert world.has(probes, first.Broken).tolist() == [True, True, False, False]
    assert world.targets_of(beacons, first.Calibrates).tolist() == [probes[2]] * 2
    assert world.is_hidden(beacons).tolist() == [False, True]
    assert world.resource(first.Site) == first.Site(altitude=3.0, origin=(7, 8))
    assert world.resource(hz.Time).tick == world.tick_count == 3
    assert (world.tick_rate, world.seed, world.capacity) == (25.0, 11, 500)
    assert world.state(first.Power) is first.Power.OFF
    assert world.events(first.Ping).strength.tolist() == [0.5]
    world.tick()
    assert world.state(first.Power) is first.Power.ON
    assert world.events(first.Ping).strength.tolist() == [2.0, 3.0]


def test_the_same_world_is_still_written_the_same(tmp_path):
    world = first.make()
    assert world.diff(hz.World.load(FIRST, **first.EVERYTHING)).equal
    world.save(tmp_path / "a.world")
    assert (tmp_path / "a.world").read_bytes() == FIRST.read_bytes()


# -- corruption --------------------------------------------------------------------------------------------------


def read_bytes(octets: bytes):
    """Header and sections of a file in memory."""
    return savefile.read_from(io.BytesIO(octets), len(octets))


@functools.cache
def bytes_of(make, compress: bool = False) -> bytes:
    """The file of a world."""
    with tempfile.TemporaryDirectory() as folder:
        make().save(Path(folder) / "a.world", compress=compress)
        return (Path(folder) / "a.world").read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_every_truncation_is_refused(compress):
    whole = bytes_of(small_world, compress)
    read_bytes(whole)
    for n in range(len(whole)):
        with pytest.raises(hz.SnapshotError):
            read_bytes(whole[:n])
    with pytest.raises(hz.SnapshotError, match=r"has \d+ bytes; its sections end at"):
        read_bytes(whole + b"\0")


@pytest.mark.parametrize("compress", [False, True])
def test_every_flipped_bit_is_refused(compress):
    whole = bytearray(bytes_of(small_world, compress))
    for at in range(len(whole)):
        for bit in (at % 8,) if at > 2_000 else range(8):
            whole[at] ^= 1 << bit
            with pytest.raises(hz.SnapshotError):
                read_bytes(whole)
            whole[at] ^= 1 << bit
    read_bytes(whole)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_a_file_with_one_of_everything_is_read_whole_or_not_at_all(data):
    before = bytes_of(zoo.make, data.draw(st.booleans()))
    whole = bytearray(before)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(whole) - 1))
        whole[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    try:
        header, arrays = read_bytes(whole)
    except hz.SnapshotError:
        return
    expected, columns = read_bytes(before)
    assert packing.pack(header, "") == packing.pack(expected, "")
    assert packing.pack(arrays, "") == packing.pack(columns, "")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_a_header_that_lies_with_a_sound_checksum_is_refused_or_loaded(tmp_path_factory, data):
    """Whoever writes checksums himself still finds every rule checked: nothing but SnapshotError comes out."""
    path = tmp_path_factory.mktemp("f") / "a.world"
    header, arrays = read_bytes(bytes_of(zoo.make))
    junk = st.one_of(st.none(), st.integers(-3, 2**70), st.floats(), st.text(max_size=3), st.just([]), st.just({}))
    key = data.draw(st.sampled_from(sorted(header)))
    inner = header[key]
    if isinstance(inner, dict) and inner and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(inner)))
        if isinstance(inner[name], dict) and inner[name] and data.draw(st.booleans()):
            inner[name][data.draw(st.sampled_from(sorted(inner[name])))] = data.draw(junk)
        else:
            inner[name] = data.draw(junk)
    else:
        header[key] = data.draw(junk)
    name = data.draw(st.sampled_from(sorted(arrays)))
    if len(arrays[name]) and data.draw(st.booleans()):
        octets = arrays[name].view(np.uint8).copy()
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
        arrays[name] = octets.view(arrays[name].dtype)
    sections = [savefile.Section(n, a.dtype, len(a), lambda a=a: [a]) for n, a in arrays.items()]
    savefile.write(path, header, sections)
    try:
        loaded(path).run(2)
    except hz.SnapshotError:
        pass


def patched(path, **prefix):
    """Overwrite parts of a file's first bytes, and put its header's checksum right."""
    whole = bytearray(path.read_bytes())
    magic, version, _, length = struct.unpack_from("<8sIIQ", whole)
    version, length = prefix.get("version", version), prefix.get("length", length)
    struct.pack_into("<8sIIQ", whole, 0, magic, version, zlib.crc32(whole[24 : 24 + length]), length)
    path.write_bytes(whole)


def test_a_newer_version_says_so(path):
    patched(path, version=2)
    with pytest.raises(hz.SnapshotError, match="the file has version 2; this library reads up to 1"):
        loaded(path)


@pytest.mark.parametrize("content", [b"", b"HZWORLD\n", b"\x89PNG\r\n\x1a\n" * 9])
def test_what_is_no_snapshot_says_so(path, content):
    path.write_bytes(content)
    with pytest.raises(hz.SnapshotError, match=r"a\.world: this is no snapshot of a world, or truncated"):
        loaded(path)


def test_a_missing_file_is_the_systems_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        hz.World.load(tmp_path / "none", kinds=[])


def rewritten(path, change):
    """A file whose header is another, with a sound checksum."""
    whole = path.read_bytes()
    length = struct.unpack_from("<Q", whole, 16)[0]
    header = packing.unpack(whole[24 : 24 + length])
    change(header)
    packed = packing.pack(header, "")
    room = min(entry[3] for entry in packing.unpack(whole[24 : 24 + length])["sections"])
    assert 24 + len(packed) <= room
    prefix = struct.pack("<8sIIQ", b"HZWORLD\n", 1, zlib.crc32(packed), len(packed))
    path.write_bytes((prefix + packed).ljust(room, b"\0") + whole[room:])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((2, 2**61), r"section 'generation': 2305843009213693952 rows don't fit into 4096 bytes"),
        ((2, -1), "an entry of the header is malformed"),
        ((2, 1.0), "an entry of the header is malformed"),
        ((3, 2**62), "lies outside of the file"),
        ((3, 1), "lies outside of the file"),
        ((1, "<f4,<f4"), "'<f4,<f4' is no dtype of a column"),
        ((1, "|O8"), r"'\|O8' is no dtype of a column"),
        ((1, "<u9"), "'<u9' is no dtype of a column"),
        ((0, "alive"), "is there twice"),
    ],
)
def test_entries_are_checked_before_memory_is_taken(tmp_path, value, message):
    path = tmp_path / "a.world"
    small_world().save(path)
    at, new = value
    rewritten(path, lambda header: header["sections"][0].__setitem__(at, new))
    with pytest.raises(hz.SnapshotError, match=message):
        hz.Snapshot.read(path)


def test_a_compressed_file_takes_no_more_than_it_says(tmp_path):
    path = tmp_path / "a.world"
    small_world().save(path, compress=True)
    with pytest.raises(hz.SnapshotError, match=r"the columns take 4,\d+ bytes, more than max_bytes=4,000"):
        hz.Snapshot.read(path, max_bytes=4_000)
    rewritten(path, lambda header: header["sections"][0].__setitem__(2, 2**40))
    with pytest.raises(hz.SnapshotError, match="rows don't fit into"):
        hz.Snapshot.read(path)
    small_world().save(path, compress=True)
    rewritten(path, lambda header: header["sections"][0].__setitem__(2, 512))
    with pytest.raises(hz.SnapshotError, match="section 'generation' unpacks to more than its rows"):
        hz.Snapshot.read(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda rng: rng["state"]["state"].update(pos=2**20),
        lambda rng: rng["state"]["state"].update(key=np.zeros(3, np.uint32)),
        lambda rng: rng.update(name="default_rng"),
        lambda rng: rng["sequence"].update(pool_size=2**40),
        lambda rng: rng["sequence"].update(entropy="x"),
        lambda rng: rng.update(state={}),
    ],
)
def test_a_random_generator_is_checked_before_numpy_believes_it(change):
    world = hz.World(capacity=9)
    world.rng = np.random.Generator(np.random.MT19937(1))
    snapshot = hz.Snapshot.of(world)
    change(snapshot.state["rng"])
    with pytest.raises(hz.SnapshotError, match="random generator"):
        snapshot.to_world([])


# -- msgpack -----------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**90), 2**90) | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.binary(max_size=5) | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    | st.frozensets(st.integers() | st.text(max_size=2), max_size=3) | st.sets(st.integers(), max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value):
    found = packing.unpack(packing.pack(value, "value"))
    assert found == value
    assert type(found) is type(value)
    assert packing.pack(found, "value") == packing.pack(value, "value")


@pytest.mark.parametrize(
    "value", [np.float32(1.5), np.arange(6, dtype="i2").reshape(2, 3), np.datetime64(5, "ms"), np.zeros(())]
)
def test_numpy_values_come_back_as_they_were(value):
    found = packing.unpack(packing.pack(value, "value"))
    assert type(found) is type(value)
    assert found.dtype == value.dtype
    assert found.shape == value.shape
    assert (found == value).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, object]}, r"value\.a\[1\] is no plain data"),
        (np.array(["x"]), "value is no plain data"),
        ({"k": {1: print}}, "is no plain data"),
    ],
)
def test_what_is_not_plain_is_named(value, message):
    with pytest.raises(hz.SnapshotError, match=message):
        packing.pack(value, "value")


def test_a_list_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(hz.SnapshotError, match="recursion"):
        packing.pack(value, "value")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=40))
def test_any_bytes_unpack_or_are_refused(data):
    for octets in (data, msgpack.packb(msgpack.ExtType(data[0] % 8 if data else 0, data))):
        try:
            packing.unpack(octets)
        except hz.SnapshotError:
            pass


@pytest.mark.parametrize(
    "data",
    [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 5_000, b"\xdc\x3f\xff" * 300],
)
def test_a_bomb_is_refused(data):
    with pytest.raises(hz.SnapshotError):
        packing.unpack(data)


# -- replacing ---------------------------------------------------------------------------------------------------


class PowerFailure(BaseException):
    """What no handler expects."""


def stop(*args, **kwargs):
    raise PowerFailure


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "zlib.crc32"])
def test_what_was_there_survives_a_failure(path, monkeypatch, call):
    before = path.read_bytes()
    world = zoo.make(seed=9)
    module, name = call.split(".")
    monkeypatch.setattr(getattr(savefile, module), name, stop)
    with pytest.raises(PowerFailure):
        world.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_failing_progress_leaves_what_was_there(path):
    before = path.read_bytes()
    with pytest.raises(PowerFailure):
        zoo.make().save(path, progress=stop)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_the_new_file_reaches_the_disk_before_its_name(path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(savefile.os, "fsync", lambda fd: calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)) or sync(fd))
    monkeypatch.setattr(savefile.os, "replace", lambda a, b: calls.append("replace") or replace(a, b))
    zoo.make().save(path)
    assert calls == [False, "replace", True]


def test_mode_and_link_of_an_existing_file_are_kept(path):
    path.chmod(0o640)
    link = path.with_name("link.world")
    link.symlink_to(path)
    zoo.make(seed=8).save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert loaded(path).seed == 8


def test_sections_are_aligned_and_can_be_mapped(path):
    _, arrays = savefile.read(path)
    whole = path.read_bytes()
    length = struct.unpack_from("<Q", whole, 16)[0]
    for name, code, rows, offset, size, crc in packing.unpack(whole[24 : 24 + length])["sections"]:
        assert offset % 64 == 0
        assert zlib.crc32(whole[offset : offset + size]) == crc
        assert np.frombuffer(whole, code, rows, offset).tobytes() == arrays[name].tobytes()
