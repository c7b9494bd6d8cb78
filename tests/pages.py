"""The Python snippets of a page of documentation, and what it means to run them.

The snippets of one page are one program: they run in order, in one module, from a file in which each stands at its
line of the page. What a page says about a snippet:

- `value  # -> 3` shows the `repr` of an expression, or what it printed; further lines may follow as comments `# -> …`.
- A block of text right after a snippet shows what else it printed. A snippet that prints must have one.
- "python raises=StaleHandleError" must raise that, with its last statement; a block of text after it shows the message.
- "python peer=esper" is another library's code, and isn't run.

Shown and real output are compared word by word, however they are wrapped; `...` stands for anything.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tokenize
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from horizon_ecs import kernel

LANGUAGES = {"python", "text", "sh", "toml", "json", "mermaid", "js", "ts", "rust", "cpp", "c"}


@dataclass(frozen=True)
class Snippet:
    """A block of code on a page.

    Attributes
    ----------
    line : int
        Of the page, where the code begins.
    options : dict
        What stands after the language: "raises", "peer".
    shown : str or None
        The block of text that follows.
    """

    line: int
    code: str
    options: dict[str, str]
    shown: str | None

    @property
    def runs(self) -> bool:
        return "peer" not in self.options


def blocks(text: str) -> list[tuple[int, str, str]]:
    """Every fenced block: the line at which its content begins, what stands after the fence, the content."""
    found = []
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.M):
        found.append((text[: match.start(2)].count("\n") + 1, match[1].strip(), match[2]))
    assert 2 * len(found) == len(re.findall(r"```", text)), "a fence is open, indented or in a line of text"
    return found


def snippets(page: Path) -> list[Snippet]:
    """The Python snippets of a page."""
    text = page.read_text()
    every = blocks(text)
    lines = text.splitlines()
    found = []
    for at, (line, info, code) in enumerate(every):
        language, *words = info.split() or [""]
        assert language in LANGUAGES, f"{page.name}:{line - 1}: a block needs one of the languages {sorted(LANGUAGES)}"
        if language != "python":
            continue
        options = dict(word.split("=") for word in words)
        assert options.keys() <= {"raises", "peer"}, f"{page.name}:{line - 1}: unknown option in {info!r}"
        after = every[at + 1] if at + 1 < len(every) else (0, "", "")
        end = line + code.count("\n")
        is_next = after[1] == "text" and not "".join(lines[end : after[0] - 2]).strip()
        found.append(Snippet(line, code, options, after[2] if is_next else None))
    return found


def programs(page: Path, language: str) -> list[tuple[str, str]]:
    """What a page shows in another language: each run of blocks up to a block of text as one program, and that text."""
    found, code = [], ""
    for _, info, content in blocks(page.read_text()):
        if info == language:
            code += content
        elif info == "text" and code:
            found.append((code, content))
            code = ""
    assert not code, f"{page.name}: the last program in {language} has no text after it that shows what it prints"
    return found


def run(page: Path, directory: Path) -> None:
    """Run a page's snippets in a directory; AssertionError where something else comes out than the page shows."""
    found = [s for s in snippets(page) if s.runs]
    path = directory / f"{page.stem}.py"
    lines: list[str] = []
    for s in found:
        lines += [""] * (s.line - 1 - len(lines)) + s.code.splitlines()
    path.write_text("\n".join(lines) + "\n")
    module = types.ModuleType(f"page_{re.sub(r'[^a-z0-9]', '_', page.stem)}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        with contextlib.chdir(directory):
            for s in found:
                _Run(page, path, module.__dict__).snippet(s)
    finally:
        del sys.modules[module.__name__]


class _Run:
    """One snippet on its way."""

    def __init__(self, page: Path, path: Path, namespace: dict[str, Any]) -> None:
        self.page, self.path, self.namespace = page, path, namespace
        self.printed = ""

    def snippet(self, s: Snippet) -> None:
        wanted = s.options.get("raises")
        if wanted == "CompileError" and not kernel.jit_enabled():
            return  # nothing is compiled, so that nothing is refused
        shift = "\n" * (s.line - 1)
        tree = ast.parse(shift + s.code, str(self.path))
        expected = _expectations(shift + s.code)
        for number, statement in enumerate(tree.body, 1):
            shown = expected.pop(statement.end_lineno or 0, None)
            try:
                self._statement(statement, shown)
            except Exception as error:
                if type(error).__name__ != wanted or number < len(tree.body):
                    raise
                if s.shown is not None:
                    self._compare(s.line, f"{wanted}: {error}", s.shown)
                return
        assert wanted is None, f"{self.page.name}:{s.line}: this was to raise {wanted}"
        assert not expected, f"{self.page.name}: what is shown at lines {[*expected]} belongs to no expression"
        if self.printed or s.shown is not None:
            self._compare(s.line, self.printed, s.shown or "(nothing)")

    def _statement(self, statement: ast.stmt, shown: str | None) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if shown is None:
                exec(compile(ast.Module([statement], []), str(self.path), "exec"), self.namespace)
                value = None
            else:
                assert isinstance(statement, ast.Expr), f"{self.page.name}:{statement.lineno}: shown for no expression"
                value = eval(compile(ast.Expression(statement.value), str(self.path), "eval"), self.namespace)
        if shown is None:
            self.printed += out.getvalue()
        else:
            self._compare(statement.lineno, out.getvalue() if value is None and out.getvalue() else repr(value), shown)

    def _compare(self, line: int, real: str, shown: str) -> None:
        pattern = ".*?".join(re.escape(part.strip()) for part in _one_line(shown).split("..."))
        assert re.fullmatch(pattern, _one_line(real)), f"{self.page}:{line}: the page shows\n{shown}\nand not\n{real}"


def _one_line(text: str) -> str:
    """Without what depends on how text is wrapped, and how NumPy fills its columns."""
    return re.sub(r"([\[(]) | (?=[\])])", r"\1", " ".join(text.split()))


def _expectations(code: str) -> dict[int, str]:
    """By the line at which a statement ends, what its comments `# -> …` say."""
    found: dict[int, str] = {}
    owner = last = 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type != tokenize.COMMENT or not token.string.startswith("# -> "):
            continue
        line, column = token.start
        if token.line[:column].strip():
            owner = line
        elif line != last + 1:
            owner = line - 1
        last = line
        found[owner] = (found.get(owner, "") + "\n" + token.string[5:]).strip()
    return found
