"""Where and with what a result came about: commit, versions, machine, threads.

A fact that cannot be found out is None.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGE_FOLDER = Path(__file__).parent
# these variables choose other kernels
KERNELS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "CUBLAS_WORKSPACE_CONFIG",
)
PACKAGES = ("sfnbench", "torch", "numpy", "scipy")

_machine: dict[str, Any] = {}


def describe(device: str = "cpu") -> dict[str, Any]:
    """All circumstances of a run in this process on this device, as plain JSON values.

    Imports torch for a GPU only.
    """
    return {**machine(), **process(device)}


def machine() -> dict[str, Any]:
    """The facts that every process on this machine shares; asked for once, then remembered."""
    if not _machine:
        _machine.update(
            commit(PACKAGE_FOLDER.parent),
            **{name: _version_or_none(name) for name in PACKAGES},
            package_hash=package_hash(PACKAGE_FOLDER),
            python=platform.python_version(),
            platform=platform.platform(),
            cpu=_cpu_model(),
            n_cores=usable_cores(),
            memory_bytes=psutil.virtual_memory().total,
        )
    return dict(_machine)


def assume(facts: dict[str, Any]) -> None:
    """Take `machine` as known.

    A worker process takes what its parent found, and does not ask git again.
    """
    _machine.update(facts)


def process(device: str = "cpu") -> dict[str, Any]:
    """The facts that this process adds.

    Its threads, the device's name, and whether products may be rounded to TF32.
    """
    facts: dict[str, Any] = {"device": device, "device_name": None, "threads": None}
    on_gpu = device.startswith("cuda")
    if on_gpu or "torch" in sys.modules:
        import torch

        facts["threads"] = torch.get_num_threads()
        facts["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        facts |= {name: os.environ[name] for name in KERNELS if name in os.environ}
        facts["tf32_matmul"] = torch.backends.cuda.matmul.allow_tf32
        facts["tf32_cudnn"] = torch.backends.cudnn.allow_tf32
        if on_gpu and torch.cuda.is_available():
            facts["cuda"] = torch.version.cuda
            # there may be no such device, or a failed run left it unusable
            with suppress(RuntimeError, AssertionError):
                facts["device_name"] = torch.cuda.get_device_name(device)
    return facts


def install_hint(extra: str) -> str:
    """The command that installs an extra of sfnbench, or of the clone that it runs from.

    >>> install_hint("report").startswith("pip install ")
    True
    """
    clone = Path(__file__).resolve().parent.parent
    if not (clone / "pyproject.toml").is_file():
        return f"pip install 'sfnbench[{extra}]'"
    place = "." if clone == Path.cwd() else str(clone)
    return f"pip install -e '{place}[{extra}]'"


def usable_cores() -> int:
    """Cores that this process may use: containers and batch systems allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit(root: Path) -> dict[str, Any]:
    """The commit of the clone at `root` and whether its code differs.

    Both None where `root` is no clone.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    # An installed package may lie inside another clone, whose commit says nothing about it.
    if top is None or Path(top).resolve() != root.resolve():
        return {"commit": None, "dirty": None}
    changes = _git(root, "status", "--porcelain", "--", "sfnbench", "plugins")
    return {
        "commit": _git(root, "rev-parse", "--verify", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def package_hash(package: Path) -> str:
    """Sixteen digits of a package's Python files by path, from a wheel as from a clone."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package)
        if place.parts[0] != "share":  # plugins lie beside the package in a clone
            digest.update(f"{place.as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def revision(root: Path, name: str) -> str | None:
    """The full hash of what git knows by that name in the clone at `root`.

    A hash, a branch, HEAD~1; None where nothing.
    """
    return _git(
        root,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{name}^{{commit}}",
    )


def _git(root: Path, *arguments: str) -> str | None:
    # A git hook's variables point at its own clone; taking no optional locks keeps out of the way
    # of the user's git.
    misleading = {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_OBJECT_DIRECTORY",
    }
    environ = {
        key: value for key, value in os.environ.items() if key not in misleading
    }
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version_or_none(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or None
