"""The plugins and suites that ship, apart from what a user keeps beside them."""

import shutil
import subprocess
from pathlib import Path

FOLDERS = ("plugins", "suites")


def copy_shipped(root: Path, target: Path) -> None:
    """Copy the plugins and suites below `root` that git knows; all of them where git knows none."""
    words = ["git", "ls-files", "-z", "--", *FOLDERS]
    try:
        listed = subprocess.run(
            words, cwd=root, capture_output=True, text=True
        ).stdout
    except FileNotFoundError:  # git is not installed
        listed = ""
    names = [
        Path(name)
        for name in listed.split("\0")
        if name and (root / name).is_file()
    ]
    found = [
        path
        for folder in FOLDERS
        for path in (root / folder).rglob("*")
        if path.is_file()
    ]
    for name in names or [path.relative_to(root) for path in found]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, target / name)
