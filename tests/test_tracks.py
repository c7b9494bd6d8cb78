"""Tracks: what is read, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest

from horizon_ecs.errors import ArgumentError
from horizon_ecs.tracks import load_tracks

COLUMNS = {
    "id": np.array([7, 3, 7, 3], np.uint16),
    "frame": np.array([5, 4, 4, 6], np.uint16),
    "x": np.array([1.0, 2.0, 3.0, 4.0], np.float32),
    "y": np.array([-1.0, -2.0, -3.0, -4.0], np.float32),
    "z": np.array([1.5, 1.6, 1.7, 1.8], np.float32),
    "hz": np.float32(16),
}
CSV = """# filmed from above
# Rate: 16
Y,id, Frame ,x,note,z
-1,7,5,1,a,1.5
-2,3,4,2,b,1.6

-3,7,4,3,c,1.7
# somebody stumbles
-4,3,6,4,d,1.8
"""


@pytest.fixture
def npz(tmp_path):
    """Write an .npz of the columns above, some of them changed or (None) left out."""

    def write(**changes):
        arrays = {k: v for k, v in {**COLUMNS, **changes}.items() if v is not None}
        np.savez_compressed(tmp_path / "tracks.npz", **arrays)
        return tmp_path / "tracks.npz"

    return write


@pytest.fixture
def text(tmp_path):
    def write(content: str, encoding: str = "utf-8"):
        (tmp_path / "tracks.csv").write_text(content, encoding=encoding)
        return tmp_path / "tracks.csv"

    return write


def check_sample(tracks):
    assert tracks.frame.tolist() == [4, 4, 5, 6]
    assert tracks.id.tolist() == [3, 7, 7, 3]
    assert tracks.x.tolist() == [2, 3, 1, 4]
    assert tracks.y.tolist() == [-2, -3, -1, -4]
    assert tracks.z.tolist() == np.array([1.6, 1.7, 1.5, 1.8], np.float32).tolist()
    assert {tracks.x.dtype, tracks.y.dtype, tracks.z.dtype} == {np.dtype("f4")}
    assert tracks.rate == 16


def test_npz_and_csv_say_the_same(npz, text):
    check_sample(load_tracks(npz()))
    check_sample(load_tracks(str(text(CSV, "utf-8-sig"))))


def test_properties(npz):
    tracks = load_tracks(npz())
    assert (tracks.n_rows, tracks.n_ids, tracks.n_alive_max) == (4, 2, 2)
    assert (tracks.first_frame, tracks.last_frame, tracks.n_frames) == (4, 6, 3)
    assert tracks.seconds == 3 / 16
    assert tracks.bounds == (1, -4, 4, -1)
    assert tracks.ids.tolist() == [3, 7]
    assert [tracks.rows_of(f) for f in (3, 4, 5, 7)] == [slice(0, 0), slice(0, 2), slice(2, 3), slice(4, 4)]
    assert repr(tracks) == "Tracks(4 rows, 2 ids, 3 frames at 16 Hz)"


def test_tracks_cannot_be_changed(npz):
    tracks = load_tracks(npz())
    with pytest.raises(ValueError, match="read-only"):
        tracks.x[0] = 1
    with pytest.raises(AttributeError):
        tracks.rate = 2


def test_z_is_optional(npz, text):
    assert load_tracks(npz(z=None)).z.tolist() == [0, 0, 0, 0]
    assert load_tracks(text("id,frame,x,y\n1,1,2,3\n"), rate=10).z.tolist() == [0]


@pytest.mark.parametrize("key", ["hz", "rate", "fps"])
def test_where_the_rate_stands(npz, text, key):
    assert load_tracks(npz(**{"hz": None, key: np.array([25])})).rate == 25
    assert load_tracks(text(f"#{key.upper()} : 12.5\nid,frame,x,y\n1,1,2,3\n")).rate == 12.5


def test_a_given_rate_wins(npz, text):
    assert load_tracks(npz(), rate=8).rate == 8
    assert load_tracks(text(CSV), rate=8).rate == 8


def test_ids_may_be_any_whole_numbers(npz, text):
    ids = [-5, 2**60 + 1, 2**60, 0]
    assert load_tracks(npz(id=np.array(ids, np.int64))).ids.tolist() == sorted(ids)
    rows = "".join(f"{i},1,0,0\n" for i in ids)
    assert load_tracks(text("id,frame,x,y\n" + rows), rate=1).ids.tolist() == sorted(ids)


def test_whole_numbers_may_be_written_as_floats(npz, text):
    check_sample(load_tracks(npz(frame=COLUMNS["frame"].astype(float))))
    tracks = load_tracks(text("id,frame,x,y\n1.000e+01,2.0,0,0\n"), rate=1)
    assert (tracks.id.tolist(), tracks.frame.tolist()) == ([10], [2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, r"tracks\.npz: 'y' is missing"),
        ({"frame": None}, "'frame' is missing"),
        ({"hz": None}, r"tracks\.npz: no rate: .*rate="),
        ({"hz": 0}, "the rate must be a positive number"),
        ({"hz": np.nan}, "the rate must be a positive number"),
        ({"hz": np.array([1, 2])}, "the rate must be a positive number"),
        ({"hz": "fast"}, "the rate must be a positive number of frames a second, not .*fast"),
        ({"x": np.zeros(3)}, "different lengths: .*'x': 3"),
        ({"x": np.zeros((4, 1))}, r"'x' must be a one-dimensional array of numbers, not float64 of shape \(4, 1\)"),
        ({"id": np.array(list("abcd"))}, "'id' must be a one-dimensional array of numbers, not <U1"),
        ({"id": np.array([1, "a", 2, 3], object)}, "not a readable .npz archive of plain arrays"),
        ({"x": np.array([0, 1, np.nan, 2])}, r"row 2: x is nan, not a finite float32"),
        ({"z": np.array([0, 1e39, 2, 3])}, r"row 1: z is 1e\+39, not a finite float32"),
        ({"frame": np.array([1, 2, -3, 4])}, "row 2: frame is -3, below 0"),
        ({"frame": np.array([1, 2, 2.5, 4])}, "row 2: frame is 2.5, not a whole number"),
        ({"frame": np.array([1, 2, np.nan, 4])}, "row 2: frame is nan, not a whole number"),
        ({"id": np.array([1, 2, 3, 2**63], np.uint64)}, "row 3: id is 9223372036854775808, not a whole number"),
        ({"id": np.array([1, 2, 3, 2.0**60])}, "row 3: id is .*, not a whole number"),
        ({"frame": np.array([5, 4, 5, 6])}, "row 2: id 7 is in frame 5 already, at row 0"),
        ({k: np.zeros(0) for k in ("id", "frame", "x", "y", "z")}, "no rows"),
    ],
)  # fmt: skip
def test_a_bad_npz_is_refused(npz, changes, message):
    with pytest.raises(ArgumentError, match=message):
        load_tracks(npz(**changes))


HEAD = "# rate: 16\nid,frame,x,y\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no header and no rows"),
        ("# rate: 16\n\n", "no header and no rows"),
        (HEAD, r"tracks\.csv: no rows"),
        ("1,2,3,4\n1,3,3,4\n", "'id' is missing"),
        ("id,frame,x\n1,1,1\n", "'y' is missing"),
        ("id,frame,x,y,X\n1,1,1,1,1\n", "line 1: the header has 'x' more than once"),
        ("id,frame,x,y\n1,1,1,1\n", "no rate"),
        ("# rate: quick\nid,frame,x,y\n1,1,1,1\n", "positive number of frames a second, not 'quick'"),
        ("# rate: -1\nid,frame,x,y\n1,1,1,1\n", "positive number of frames a second, not '-1'"),
        (HEAD + "1,1,1,1\n\n1,2,3\n", "line 5: 3 cells where the header has 4"),
        (HEAD + "1,1,1,1\n1,2,east,3\n", "line 4: x is 'east', not a number"),
        (HEAD + "1,1,1,1\nAda,2,1,3\n", "line 4: id is 'Ada', not a number"),
        (HEAD + "1,1,1,1\n1,,1,3\n", "line 4: frame is '', not a number"),
        (HEAD + "1,1,1,1\n1,2,nan,3\n", "line 4: x is nan, not a finite float32"),
        (HEAD + "1,1,1,1\n1,2,1,-inf\n", "line 4: y is -inf, not a finite float32"),
        (HEAD + "1,1,1,1\n1,1.5,1,1\n", "line 4: frame is 1.5, not a whole number"),
        (HEAD + "1,1,1,1\n1,-1,1,1\n", "line 4: frame is -1, below 0"),
        (HEAD + "1,1,1,1\n2,1,1,1\n# again\n1,1,2,2\n", "line 6: id 1 is in frame 1 already, at line 3"),
        (HEAD + f"{10**30},1,1,1\n", "line 3: id is 1e.30, not a whole number"),
        (HEAD + '1,1,1,"1\n"\n1,2,3,4\n', "a quoted cell runs over the end of its line"),
    ],
)  # fmt: skip
def test_a_bad_csv_is_refused(text, content, message):
    with pytest.raises(ArgumentError, match=message):
        load_tracks(text(content))


@pytest.mark.parametrize("damage", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_refused(tmp_path, damage):
    (tmp_path / "tracks.npz").write_bytes(damage)
    with pytest.raises(ArgumentError, match="tracks.npz: "):
        load_tracks(tmp_path / "tracks.npz")


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "tracks.npy", np.zeros(4))
    (tmp_path / "tracks.npy").rename(tmp_path / "tracks.npz")
    with pytest.raises(ArgumentError, match="not an .npz archive"):
        load_tracks(tmp_path / "tracks.npz")


def test_every_truncation_of_an_archive_is_refused(npz, tmp_path):
    whole = npz().read_bytes()
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "short.npz").write_bytes(whole[:length])
        with pytest.raises(ArgumentError):
            load_tracks(tmp_path / "short.npz")


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "tracks.csv").write_bytes(b"id,frame,x,y\n\xff\xfe\n")
    with pytest.raises(ArgumentError, match="tracks.csv: not UTF-8 text: byte 13"):
        load_tracks(tmp_path / "tracks.csv")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ArgumentError, match="missing.csv: can't be read: No such file"):
        load_tracks(tmp_path / "missing.csv")
    with pytest.raises(ArgumentError, match="read from .npz or .csv, not '.json'"):
        load_tracks(tmp_path / "tracks.json")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ArgumentError, match="folder.npz: can't be read"):
        load_tracks(tmp_path / "folder.npz")
