"""What measurements ran on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import numba
import numpy as np

from horizon_ecs import kernel


def machine() -> dict[str, Any]:
    """What it ran on, and when."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": f"{_cpu()} ({kernel.cpu_name()}), {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}",
        "numba": numba.__version__,
        "numpy": np.__version__,
    }


def where(result: dict[str, Any]) -> str:
    """The same in a line."""
    return f"{result['date']}, {result['cpu']}, {result['system']}; Numba {result['numba']}, NumPy {result['numpy']}."


def _cpu() -> str:
    """The processor's name as it calls itself, where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
