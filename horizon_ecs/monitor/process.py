"""What this process uses: from /proc where there is one, else by `psutil`, which the extra `metrics` brings."""

from __future__ import annotations

import contextlib
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 2**20
_CGROUP = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class ProcessUse:
    """Bytes and seconds; 0 where this machine doesn't tell.

    Attributes
    ----------
    resident_bytes, virtual_bytes : int
    cpu_s : float
        Of all threads, in user and system mode, since the process began.
    limit_bytes : int
        What it may use: what its container is given, or what the machine has.
    """

    resident_bytes: int = 0
    virtual_bytes: int = 0
    cpu_s: float = 0.0
    limit_bytes: int = 0

    @property
    def resident_mb(self) -> float:
        """In units of 2**20 bytes."""
        return self.resident_bytes / MB

    @property
    def virtual_mb(self) -> float:
        """In units of 2**20 bytes."""
        return self.virtual_bytes / MB

    @property
    def limit_mb(self) -> float:
        """In units of 2**20 bytes."""
        return self.limit_bytes / MB


def process_use(proc: Path = Path("/proc")) -> ProcessUse:
    """What this process uses now."""
    times = os.times()
    resident, virtual = _from_proc(proc) or _from_psutil() or (0, 0)
    return ProcessUse(resident, virtual, times.user + times.system, memory_limit(proc))


def memory_limit(proc: Path = Path("/proc"), cgroups: tuple[str, ...] = _CGROUP) -> int:
    """Bytes that this process may use: what its container is given, or what the machine has; 0 where nobody tells."""
    limits = [total] if (total := _machine(proc)) else []
    for path in cgroups:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text(encoding="ascii")))  # "max" where there is no limit
    return min(limits, default=0)


def _from_proc(proc: Path) -> tuple[int, int] | None:
    """Resident and virtual bytes."""
    try:
        pages = (proc / "self" / "statm").read_text(encoding="ascii").split()
        page = os.sysconf("SC_PAGE_SIZE")
        return int(pages[1]) * page, int(pages[0]) * page
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _from_psutil() -> tuple[int, int] | None:
    found = _psutil()
    if found is None:
        return None
    memory = found.Process().memory_info()
    return int(memory.rss), int(memory.vms)


def _machine(proc: Path) -> int:
    """Bytes of memory of the machine."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemTotal:")).split()[1])
    found = _psutil()
    return int(found.virtual_memory().total) if found is not None else 0


def _psutil() -> Any:
    with contextlib.suppress(ImportError):
        return importlib.import_module("psutil")
    return None
