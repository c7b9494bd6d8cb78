"""The Makefile: what `make help` shows is all there is, each target once."""

from __future__ import annotations

import re
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")


def test_every_target_is_there_once_and_documented():
    targets = re.findall(r"^(?!\.)([^\s:=#]+):(?!=)", TEXT, re.MULTILINE)
    assert len(set(targets)) == len(targets)
    shown = re.findall(r"^([a-z-]+):.*## \S", TEXT, re.MULTILINE)
    assert shown == [t for t in targets if not t.startswith("$")]
    [phony] = re.findall(r"^\.PHONY: (.*)$", TEXT, re.MULTILINE)
    assert phony.split() == shown
