"""What the README shows works as it stands there."""

from __future__ import annotations

import asyncio
import re
import runpy
from pathlib import Path

import pytest

import horizon_ecs as hz
from horizon_ecs.testing import serving

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_program_serves_its_world(monkeypatch, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert 15 <= len([line for line in program.splitlines() if line.strip()]) <= 24
    served = []

    def serve(world, **settings):
        async def look():
            async with serving(world, hz.ServerConfig.of(**settings)) as server, hz.connect(server.ws_url) as client:
                served.append((await client.next_frame()).n)

        asyncio.run(asyncio.wait_for(look(), 60))

    monkeypatch.setattr(hz, "serve", serve)
    path = tmp_path / "program.py"
    path.write_text(program)
    runpy.run_path(str(path))
    # A client without an entity looks from the origin.
    expected = 20_000 * 3.1416 * 2_000**2 / 10_000**2
    assert served[0] == pytest.approx(expected, rel=0.2)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_command_that_is_named_exists():
    from horizon_ecs.cli import _parser

    parser = _parser()
    for command in re.findall(r"^\| `(\w+(?: tick)?)", README, re.M):
        with pytest.raises(SystemExit) as done:
            parser.parse_args([*command.split(), "--help"])
        assert done.value.code == 0
