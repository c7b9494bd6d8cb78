"""Advice: Numba's words about a body that it can't compile, as the user's line, what isn't supported, and what to write
instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from horizon_ecs.errors import CompileError

if TYPE_CHECKING:
    from horizon_ecs.rewrite import Body

PLAIN = "use form='columns' for plain Python"

# (pattern of Numba's message, advice); the first that is found counts. \1 … are the pattern's groups.
ADVICE: tuple[tuple[str, str], ...] = ()


def compile_error(body: Body, lines: Mapping[int, int], error: BaseException) -> CompileError:
    """What to raise for Numba's error; `lines` maps those of the generated file to the user's."""
    message = re.sub(r"\x1b\[\d*m", "", str(error))
    mentioned = (int(n) for n in re.findall(r'system_\w+\.py"?[,(:]? ?(?:line )?\(?(\d+)', message))
    at = [lines[n] for n in mentioned if n in lines]
    where = f"{body.file}:{at[-1] if at else body.line_of(None)}: system {body.system.name!r}"
    return CompileError(f"{where} can't be compiled: {_advised(message)}")


def _advised(message: str) -> str:
    for pattern, advice in ADVICE:
        found = re.search(pattern, message, re.DOTALL)
        if found:
            return found.expand(advice)
    skipped = ("Failed in", "During:", "File ")
    useful = [line.strip() for line in message.splitlines() if line.strip() and not line.strip().startswith(skipped)]
    return " ".join(useful[:4])
