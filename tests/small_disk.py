"""A disk that is soon full, for tests."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own on this folder."""
    mount = shutil.which("mount")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if (
        mount is None
        or subprocess.run(command, capture_output=True).returncode != 0
    ):
        pytest.skip("only root can mount a disk of the test's own")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
