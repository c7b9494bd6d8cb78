"""The documentation is true: its snippets run, its links lead somewhere, its tables name tests that exist."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import horizon_ecs as hz
from docs import make_api
from tests import pages

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
GUIDE = sorted((DOCS / "guide").glob("*.md"))
WRITTEN = [*sorted(DOCS.glob("*.md")), *GUIDE]
API = sorted((DOCS / "api").glob("*.md"))


def _name(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.parametrize("page", WRITTEN, ids=_name)
def test_every_snippet_does_what_its_page_says(page, tmp_path):
    pages.run(page, tmp_path)


def test_snippets_are_formatted(tmp_path):
    for page in [*WRITTEN, ROOT / "README.md"]:
        for snippet in pages.snippets(page):
            (tmp_path / f"{page.stem}_{snippet.line}.py").write_text(snippet.code)
    ruff = [sys.executable, "-m", "ruff", "format", "--diff", "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    done = subprocess.run(ruff, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", [*WRITTEN, *API], ids=_name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in _anchors(there), f"{target}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """Of the headings, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_guide_leads_from_page_to_page():
    for before, after in itertools.pairwise(GUIDE):
        assert f"→]({after.name})" in before.read_text().splitlines()[-1]
        assert f"]({before.name})" in after.read_text().splitlines()[-1]


def test_the_guide_is_numbered_and_listed():
    numbers = [page.name.split("-")[0] for page in GUIDE]
    assert numbers == [f"{n:02}" for n in range(1, len(GUIDE) + 1)]
    assert all(f"# {int(n)}. " in page.read_text() for n, page in zip(numbers, GUIDE, strict=True))
    index = (DOCS / "README.md").read_text()
    for page in [*WRITTEN, *API]:
        if page.name != "README.md":
            assert f"]({_name(page)})" in index, page.name


def test_the_tests_that_show_what_horizon_describes_are_there():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (DOCS / "horizon.md").read_text())
    assert len(named) > 40
    for file, test in named:
        assert f"def {test}(" in (DOCS.parent / "tests" / file).read_text(), f"{file}::{test}"


def test_the_harness_notices_what_is_wrong(tmp_path):
    def fails(text: str, **named: str) -> str:
        page = tmp_path / "page.md"
        page.write_text(text)
        with pytest.raises(AssertionError) as error:
            pages.run(page, tmp_path)
        return str(error.value)

    assert "not\n4" in fails("```python\n2 + 2  # -> 5\n```\n")
    assert "not\nhello" in fails("```python\nprint('hello')\n```\n\n```text\ngoodbye\n```\n")
    assert "(nothing)" in fails("```python\nprint('hello')\n```\n\nWords between.\n\n```text\nhello\n```\n")
    assert "was to raise" in fails("```python raises=ValueError\nint('3')\n```\n")
    assert "belongs to no expression" in fails("```python\nx = [\n    1,  # -> 1\n]\n```\n")
    assert "for no expression" in fails("```python\nx = 1  # -> 1\n```\n")
    assert "unknown option" in fails("```python skip=1\n1\n```\n")
    assert "one of the languages" in fails("```\n1\n```\n")
    assert "open, indented" in fails("- a list\n\n  ```python\n  1\n  ```\n")


def test_a_page_is_one_program_with_its_own_lines(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```python\ndef where():\n    return len([1,\n    2])\n```\n\n"
        "```python raises=ZeroDivisionError\nwhere() / 0\n```\n\n```text\nZeroDivisionError: division ... zero\n```\n\n"
        "```python\nprint('shown')\nwhere.__code__.co_firstlineno  # -> 4\nprint('a   b')  # -> a b\n[1, 2]\n# -> [1,\n# -> 2]\n"
        "```\n\n```text\nshown\n```\n"
    )
    pages.run(page, tmp_path)


def test_the_reference_is_current():
    made = make_api.make()
    assert {p.name: p.read_text() for p in API} == made, "run make docs"


@pytest.mark.parametrize("name", [n for n in hz.__all__ if n != "__version__"])
def test_every_public_name_is_explained(name):
    explained = make_api.explanation(name)
    assert explained, name
    value = getattr(hz, name)
    if inspect.isclass(value):
        for method in make_api.methods(value):
            assert inspect.getdoc(method.value), f"{name}.{method.name}"


def test_the_features_name_tests_that_exist():
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", (DOCS / "features.md").read_text())
    assert len(named) > 30
    trees = {path: ast.parse((ROOT / path).read_text()) for path in {path for path, _ in named}}
    there = {(p, n.name) for p, tree in trees.items() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    assert set(named) <= there, set(named) - there


def test_the_features_have_an_answer_in_every_column():
    tables = re.findall(r"(?:^\|.*\n)+", (DOCS / "features.md").read_text(), re.M)
    for table in tables:
        rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table.splitlines()]
        assert len({len(row) for row in rows if set(row[0]) != {"-"}}) == 1, rows[0]
        assert all(all(row) for row in rows)
        # Ours is a test, or a reason.
        assert all(re.search(r"`tests/|^(no|partly): .", row[-1]) for row in rows[2:]), rows[0]
