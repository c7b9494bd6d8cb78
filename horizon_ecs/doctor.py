"""Doctor: what this machine offers, and what to do about what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

from horizon_ecs import __version__, kernel

_PACKAGES = ("numpy", "numba", "llvmlite", "msgpack", "websockets", "rich")
_FILES_WANTED = 4_096  # a thousand clients, and room


def examine() -> dict[str, Any]:
    """What there is, as plain data; `advice` lists what to do, and is empty where all is well."""
    advice: list[str] = []
    files = _open_files()
    threads, cores = kernel.n_threads(), os.cpu_count() or 1
    found = {
        "horizon_ecs": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": kernel.cpu_name(),
        "cpu_features": kernel.cpu_features(),
        "cores": cores,
        "threads": threads,
        "threading_layer": "our own crew of threads (none of Numba's is used)",
        "jit": kernel.jit_enabled(),
        "cache_directory": str(kernel.cache_directory),
        "cache_bytes": sum(path.stat().st_size for path in kernel.cache_directory.rglob("*") if path.is_file()),
        "cache_is_kept": not kernel.cache_is_temporary(),
        "open_files": files,
    }
    if files is not None and files < _FILES_WANTED:
        advice.append(
            f"Only {files} files may be open, and every client takes one: raise it with `ulimit -n {_FILES_WANTED}`."
        )
    if not found["jit"]:
        advice.append("NUMBA_DISABLE_JIT is set: everything runs as plain Python, hundreds of times slower. Unset it.")
    if not found["cache_is_kept"]:
        advice.append("The cache can't be kept, so every start compiles: set NUMBA_CACHE_DIR to a writable folder.")
    if threads < 2:
        advice.append("One thread: large worlds tick slower. See HORIZON_THREADS and the process's CPU affinity.")
    if not any(feature in kernel.cpu_features() for feature in ("avx2", "neon", "sve")):
        advice.append("This processor has no wide vector instructions: kernels run, but slower than documented.")
    return {**found, "advice": advice}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _open_files() -> int | None:
    """How many files this process may have open; None where the system has no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
