"""The jit policy: the only file that names njit.

Every kernel is compiled with the same options, for the signatures it declares and no others, and kept on disk in a
directory whose name hashes everything the machine code depends on. (Numba itself checks only the file of the outermost
function, so an edit in a helper of another file would go unseen; and it doesn't tell a build with bounds checks from
one without.)
"""

from __future__ import annotations

import hashlib
import linecache
import os
import platform
import shutil
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import llvmlite.ir
import numba
import numba.extending
import numpy as np
from numba.core import cgutils
from numba.core import config as numba_config
from numba.np.arrayobj import make_array

MAX_CACHES = 6  # directories of older builds that are kept, so that switching between two versions stays quick

Progress = Callable[[int, int, str], None]


class _Kernel:
    """A registered kernel: its dispatcher, and the signatures still to be compiled."""

    def __init__(self, dispatcher: Any, signatures: tuple[str, ...]) -> None:
        self.dispatcher = dispatcher
        self.signatures = signatures
        self.ready = False

    @property
    def name(self) -> str:
        return f"{self.dispatcher.__module__.rpartition('.')[2]}.{self.dispatcher.__name__}"

    def compile(self) -> None:
        """Compile or load every signature, then refuse any other."""
        for signature in self.signatures:
            self.dispatcher.compile(signature)
        self.dispatcher.disable_compile()
        self.ready = True


_kernels: list[_Kernel] = []


def jit_enabled() -> bool:
    """Whether functions are compiled at all (they are not under NUMBA_DISABLE_JIT=1)."""
    return not numba_config.DISABLE_JIT


def _source_hash() -> str:
    """A hash of all that machine code may depend on: the kernels, the compiler and its options, the processor."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in (Path(__file__), *sorted(root.glob("systems/*.py"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    facts = (
        sys.version,
        numba.__version__,
        np.__version__,
        platform.machine(),
        llvmlite.binding.get_host_cpu_name(),
        numba_config.BOUNDSCHECK,
    )
    digest.update(repr(facts).encode())
    return digest.hexdigest()[:16]


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _cache_base() -> Path:
    """Where caches live: $NUMBA_CACHE_DIR, the user's cache directory, or a temporary one."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horizon_ecs"
    return base if _writable(base) else _temporary_base()


def _temporary_base() -> Path:
    return Path(tempfile.gettempdir()) / f"horizon_ecs-{getattr(os, 'getuid', int)()}"


def _prune(base: Path, keep: Path) -> None:
    """Remove the oldest caches of other builds."""
    others = sorted((d for d in base.glob("build-*") if d != keep), key=lambda d: d.stat().st_mtime, reverse=True)
    for directory in others[MAX_CACHES - 1 :]:
        shutil.rmtree(directory, ignore_errors=True)


def _open_cache() -> Path:
    base = _cache_base()
    directory = base / f"build-{_source_hash()}"
    directory.mkdir(parents=True, exist_ok=True)
    os.utime(directory)
    _prune(base, directory)
    return directory


cache_directory: Path = _open_cache()
"""Where this build's machine code is kept."""


_decorating = threading.Lock()


def _njit_cached(function: Callable[..., Any], **options: Any) -> Any:
    """njit with our cache; Numba reads the directory when it decorates, so that a user's own kernels keep theirs."""
    with _decorating:
        before = numba_config.CACHE_DIR
        numba_config.CACHE_DIR = str(cache_directory)
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        finally:
            numba_config.CACHE_DIR = before


_OF_KERNELS: dict[str, Any] = {"_nrt": False, "no_cfunc_wrapper": True}


def helper(function: Callable[..., Any], *, allocates: bool = False) -> Any:
    """Decorate a small function that kernels call; it is compiled into each of them."""
    return numba.njit(nogil=True, error_model="numpy", **({} if allocates else _OF_KERNELS))(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate a function that is to vanish in the loop around it, so that the loop can be vectorised."""
    return numba.njit(nogil=True, error_model="numpy", forceinline=True, **_OF_KERNELS)(function)


def inlined_allocating(function: Callable[..., Any]) -> Any:
    """As `inlined`, for a function that takes memory."""
    return numba.njit(nogil=True, error_model="numpy", forceinline=True)(function)


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(view.data, [arguments[1]]), cgutils.voidptr_t)
        kinds = [cgutils.voidptr_t, cgutils.int32_t, cgutils.int32_t, cgutils.int32_t]
        function_type = llvmlite.ir.FunctionType(llvmlite.ir.VoidType(), kinds)
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0i8")
        reading, every_level, data = (cgutils.int32_t(n) for n in (0, 3, 1))
        builder.call(function, [address, reading, every_level, data])
        return context.get_dummy_value()

    return numba.types.void(array, numba.types.intp), generate


def _prefetch_nothing(array: Any, index: int) -> None:
    """What `prefetch` is where nothing is compiled."""


prefetch = _prefetch if jit_enabled() else _prefetch_nothing
"""`prefetch(array, i)` in a kernel: bring the line of a contiguous array's i-th element, in memory order, nearer."""


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _bit_length(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], cgutils.false_bit)
        return builder.sub(zeros.type(64), zeros)

    return numba.types.uint64(numba.types.uint64), generate


def _plain_bit_length(value: np.uint64) -> np.uint64:
    return np.uint64(int(value).bit_length())


bit_length = _bit_length if jit_enabled() else _plain_bit_length
"""`bit_length(value)` in a kernel: how many bits a uint64 needs, 0 for 0, as uint64."""


def kernel(*signatures: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel: a function over arrays, compiled for exactly these signatures by `warm_up`.

    It is compiled without Numba's runtime: it can't allocate, and no view of an array counts references. (Those counts
    are locked instructions, a tenth of some kernels' time, and threads fight for the lines that they stand in.)

    Parameters
    ----------
    signatures : str
        Numba signatures such as `"void(float32[::1], int64)"`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = _njit_cached(function, **_OF_KERNELS)
        if jit_enabled():
            _kernels.append(_Kernel(dispatcher, signatures))
        return dispatcher

    return decorate


def warm_up(*modules: str, progress: Progress | None = None) -> int:
    """Compile, or load from the cache, the kernels that aren't ready; afterwards a wrong dtype is a TypeError and never
    a compilation.

    Parameters
    ----------
    modules : str
        Names of modules in `systems/`; none for every kernel that is imported.
    progress : callable(done, total, name), optional
        Called before each kernel, and once at the end; by default what `report_progress` was given.

    Returns
    -------
    int : how many kernels were made ready.
    """
    waiting = [k for k in _kernels if not k.ready and (not modules or k.name.partition(".")[0] in modules)]
    report = progress or _reporter
    for done, entry in enumerate(waiting):
        if report:
            report(done, len(waiting), entry.name)
        entry.compile()
    if waiting and report:
        report(len(waiting), len(waiting), "ready")
    return len(waiting)


_reporter: Progress | None = None


def report_progress(progress: Progress | None) -> None:
    """Have every warm-up from now on report its progress: for a command line that shows why it waits."""
    global _reporter
    _reporter = progress


def compile_source(
    source: str, name: str, globals_: dict[str, Any], signature: Any, title: str, *, allocates: bool
) -> Callable[..., Any]:
    """Compile the function `name` of generated source for one signature, as a kernel that is kept on disk like the
    others; with Numba's runtime where it `allocates`.

    The source is written beside the cache, so that Numba can key its machine code by it and a traceback shows it. What
    `globals_` holds must show in the source (a digest in a comment will do): Numba doesn't see it change.
    """
    path = write_source(source)
    # A module that can be imported by its name: Numba does so when it loads machine code.
    module = types.ModuleType(f"horizon_ecs.generated_{path.stem}")
    module.__dict__.update(globals_)
    sys.modules[module.__name__] = module
    exec(compile(source, str(path), "exec"), module.__dict__)
    options = {} if allocates else _OF_KERNELS
    dispatcher: Callable[..., Any] = _njit_cached(getattr(module, name), **options)
    if jit_enabled():
        if _reporter:
            _reporter(0, 1, f"system {title}")
        try:
            dispatcher.compile(signature)  # type: ignore[attr-defined]
        except ImportError:  # what was kept names a module that is no more: a user's own jitted function from a script
            dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(getattr(module, name))
            dispatcher.compile(signature)  # type: ignore[attr-defined]
        dispatcher.disable_compile()  # type: ignore[attr-defined]
    return dispatcher


def unchecked(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel of one signature without the look at every argument's type, 40 % of a call: for who has called it with
    its checks, and makes the arguments in the same way ever after."""
    if not is_jitted(compiled):
        return compiled
    (made,) = compiled.overloads.values()  # type: ignore[attr-defined]
    entry: Callable[..., Any] = made.entry_point
    return entry


def _place_of(source: str) -> Path:
    return cache_directory / f"system_{hashlib.sha256(source.encode()).hexdigest()[:24]}.py"


def was_written(source: str) -> bool:
    """Whether generated source is kept already."""
    return _place_of(source).exists()


def write_source(source: str) -> Path:
    """Keep generated source in a file that is named by its hash."""
    path = _place_of(source)
    if not path.exists():
        scratch = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp")
        scratch.write_text(source, encoding="utf-8")
        os.utime(scratch, (0, 0))  # Numba compares the file's time: the same source must look the same next time
        scratch.replace(path)
    linecache.checkcache(str(path))
    return path


def array_type(dtype: np.dtype[Any], *, readonly: bool = False) -> Any:
    """The type of a contiguous 1-D array, for a signature."""
    return numba.types.Array(numba.from_dtype(dtype), 1, "C", readonly=readonly)


def scalar_type(dtype: np.dtype[Any]) -> Any:
    """The type of a number, for a signature."""
    return numba.from_dtype(dtype)


def is_jitted(function: Any) -> bool:
    """Whether `function` is something that Numba compiled."""
    return isinstance(function, numba.core.dispatcher.Dispatcher)


def cpu_name() -> str:
    """The processor that machine code is made for, as LLVM calls it."""
    return str(llvmlite.binding.get_host_cpu_name())


def cpu_features() -> list[str]:
    """What the processor can do, as LLVM calls it."""
    return sorted(name for name, has in llvmlite.binding.get_host_cpu_features().items() if has)


def cache_is_temporary() -> bool:
    """Whether no directory that lasts could be written, so that machine code is kept in a temporary one."""
    return cache_directory.parent == _temporary_base()


def may_raise_anywhere() -> bool:
    """Whether any line of a kernel may raise: where nothing is compiled, or every index is checked."""
    return not jit_enabled() or bool(numba_config.BOUNDSCHECK)


def n_threads() -> int:
    """How many threads share a stage: HORIZON_THREADS, else the number of cores this process may use."""
    chosen = os.environ.get("HORIZON_THREADS")
    if chosen and chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
