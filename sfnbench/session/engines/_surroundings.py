"""What a run changes of the process that it shares with the next: undone, or named.

Seeds, environment variables and the working directory are put back, the user's own modules are
forgotten. Whatever else changed costs the process: the next run gets another.
"""

from __future__ import annotations

import gc
import locale
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import torch

from ...environment import usable_cores
from ...members.plugins import shipped
from ...members.reading import HERE
from ...members.registry import forget

MOST_GROWTH = 2**29  # bytes of memory that runs may leave behind them
_TINY = 5e-324  # the smallest number above 0, which sloppy arithmetic takes for 0
_STARTS = frozenset(("os.fork", "os.forkpty", "os.posix_spawn", "os.system"))
_SHIPPED = str(shipped("plugins").resolve())
_INSTALLED = (
    str(HERE.resolve()),
    _SHIPPED,
    *(str(Path(each).resolve()) for each in (sys.prefix, sys.base_prefix)),
)
_NO_PATCHES = frozenset(("sfnbench", "torch", "numpy", "scipy", "sklearn"))
# What torch and Python set up when it is first used, with no bearing on a number.
_SET_UP_LATE = frozenset(
    (
        "torch._functorch.predispatch",
        "torch._opaque_base",
        "torch.autograd.profiler",
        "_NamespacePath",
        "pkgutil",
    )
)


class Surroundings:
    """The state of a process as it is before its first run."""

    def __init__(self) -> None:
        self._random = (
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state(),
        )
        self._environ = dict(os.environ)
        self._folder = os.getcwd()
        self._modules = frozenset(sys.modules)
        self._n_started = 0
        sys.addaudithook(self._hear)
        self._memory = psutil.Process().memory_info().rss
        self._names = _Names()
        self._settings = dict(_settings())

    def restore(self) -> tuple[str, ...]:
        """Undo what a run changed; what of it cannot be undone."""
        found = list(self._other_changes())
        if any(_is_others(name) for name in sys.modules.keys() - self._modules):
            found += self._names.changes()
        random.setstate(self._random[0])
        np.random.set_state(self._random[1])
        torch.set_rng_state(self._random[2])
        if dict(os.environ) != self._environ:
            os.environ.clear()
            os.environ.update(self._environ)
        os.chdir(self._folder)
        found += self._forget_modules()
        return tuple(found)

    def _other_changes(self) -> Iterator[str]:
        now = dict(_settings())
        yield from (name for name in now if now[name] != self._settings[name])
        if self._n_started or _has_children():
            yield "processes that it started"
        if psutil.Process().memory_info().rss > self._memory + MOST_GROWTH:
            yield "its memory"
        gone = self._modules - sys.modules.keys()
        if gone:
            yield f"modules that are gone: {', '.join(sorted(gone))}"

    def _forget_modules(self) -> Iterator[str]:
        """Forget the user's modules, so that the next run imports them as they are at first."""
        users = [
            name for name in sys.modules.keys() - self._modules if _is_users(name)
        ]
        for name in users:
            if not str(getattr(sys.modules[name], "__file__", "")).endswith(".py"):
                yield f"the module {name}, which cannot be imported twice"
        forget(users)
        if users:
            _clear_caches()

    def _hear(self, event: str, _: Any) -> None:
        if event in _STARTS:
            self._n_started += 1


class _Names:
    """The names in every module and class, and what they stand for."""

    def __init__(self) -> None:
        modules = {
            id(each): each
            for each in sys.modules.values()
            if type(each) is ModuleType
        }.values()
        classes = {
            id(each): each for module in modules for each in _classes_in(module)
        }
        self._owners: list[Any] = [*modules, *classes.values()]
        self._views = [vars(owner).values() for owner in self._owners]
        self._sizes = list(map(len, self._views))
        self._known = tuple(chain.from_iterable(self._views))

    def changes(self) -> list[str]:
        """The names that were given another meaning; new ones in a module are none."""
        with suppress(Exception):  # some arrays refuse to be compared
            if self._known == tuple(chain.from_iterable(self._views)):
                return []
        found = list(self._differences())
        self.__init__()  # type: ignore[misc]
        return found

    def _differences(self) -> Iterator[str]:
        begin = 0
        for owner, size in zip(self._owners, self._sizes, strict=True):
            known = self._known[begin : begin + size]
            begin += size
            names = list(vars(owner))
            if len(names) < size or (
                isinstance(owner, type) and _has_new(names[size:])
            ):
                yield f"the names in {owner.__name__}"
            for name, before in zip(names, known, strict=False):
                now = vars(owner)[name]
                if now is not before and not _is_late(owner, now):
                    yield f"{owner.__name__}.{name}"


def _has_new(names: list[str]) -> bool:
    return bool(set(names) - {"__slotnames__"})  # what pickle notes on a class


def _is_late(owner: Any, now: Any) -> bool:
    # torch.optim marks the steps that it wraps when a class is first used
    return owner.__name__ in _SET_UP_LATE or bool(getattr(now, "hooked", False))


def _classes_in(module: ModuleType) -> Iterator[type]:
    for value in vars(module).values():
        if issubclass(type(value), type):  # isinstance would wake lazy ones
            yield value


def _clear_caches() -> None:
    """Forget what sfnbench remembers of the user's classes."""
    for name, module in sys.modules.items():
        if name.startswith("sfnbench."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def _is_users(name: str) -> bool:
    """Whether a module is neither Python's, nor a package's that is installed, nor sfnbench's."""
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and not _is_installed(file)


@cache  # each run asks again for all modules that are imported late
def _is_installed(file: str) -> bool:
    return str(Path(file).resolve()).startswith(_INSTALLED)


def _is_others(name: str) -> bool:
    """Whether a module may patch another: sfnbench's own, Python's and torch's do not."""
    top = name.partition(".")[0]
    if top in _NO_PATCHES or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules[name], "__file__", None) or ""
    return not file.startswith(_SHIPPED)


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _settings() -> Iterator[tuple[str, Any]]:
    """Everything else that a process has one of and that numbers may depend on."""
    yield from _settings_of_torch()
    yield "numpy's error state", np.geterr()
    yield "standard streams", (sys.stdout.closed, sys.stderr.closed)
    yield "rounding", (_TINY * 1.0 > 0, 1 + _TINY > 1, 1 - _TINY < 1)
    yield "signal handlers", [signal.getsignal(n) for n in signal.valid_signals()]
    yield "blocked signals", signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield "timers", signal.getitimer(signal.ITIMER_REAL)[1]
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    yield "limits", [resource.getrlimit(getattr(resource, name)) for name in limits]
    yield "umask", _umask()
    yield "locale", locale.setlocale(locale.LC_ALL)
    yield "niceness", os.getpriority(os.PRIO_PROCESS, 0)
    if hasattr(os, "sched_getscheduler"):
        yield "scheduling policy", os.sched_getscheduler(0)
    yield "cores", usable_cores()
    yield "threads that it started", threading.active_count()
    yield "warning filters", list(warnings.filters)
    yield "import paths", [*sys.path, *sys.meta_path, *sys.path_hooks]
    yield "recursion limit", sys.getrecursionlimit()
    yield "tracing", (sys.gettrace(), sys.getprofile())
    yield "garbage collection", (gc.isenabled(), gc.get_threshold())


def _settings_of_torch() -> Iterator[tuple[str, Any]]:
    yield "default dtype", torch.get_default_dtype()
    yield "default device", torch.get_default_device()
    yield "threads", (torch.get_num_threads(), torch.get_num_interop_threads())
    yield (
        "gradient mode",
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    )
    yield "anomaly mode", torch.is_anomaly_enabled()
    yield "determinism", torch.get_deterministic_debug_mode()
    filling: Any = torch.utils.deterministic
    yield "filling of new memory", filling.fill_uninitialized_memory
    yield "precision", torch.get_float32_matmul_precision()
    backends = torch.backends
    yield "backends", (backends.mkldnn.enabled, backends.opt_einsum.enabled)
    stacks = torch._C._len_torch_function_stack, torch._C._len_torch_dispatch_stack
    yield "modes of torch", [length() for length in stacks]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
