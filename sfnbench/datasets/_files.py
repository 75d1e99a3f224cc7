"""Files of datasets: found in SFNBENCH_DATA or downloaded, used only if their checksum is right."""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import DataError

# environment variable: a folder of data files, which turns downloading off
FOLDER = "SFNBENCH_DATA"
TIMEOUT_S = 30.0  # without an answer from a mirror
# bytes written at once: pooch's own 1,024 would flush 166,000 times for CIFAR-10
CHUNK = 1 << 16

FileState = Literal["ok", "missing", "damaged"]
# (name, bytes) of a download -> pooch's progress bar, or None
Watch = Callable[[str, int], AbstractContextManager[Any]]


@dataclass(frozen=True)
class File:
    """One file of a dataset: its place in a data folder, its sum, and its mirrors."""

    path: str  # such as mnist/train-labels-idx1-ubyte.gz
    sha256: str
    mirrors: tuple[str, ...]  # tried in this order
    n_bytes: int = 0  # 0: not known
    # how the file is made from another one, where no mirror has it
    recipe: "Recipe | None" = None
    split: str = ""  # which of the dataset's it holds; empty: all of them

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it can be had."""
        return tuple(f"{mirror.rstrip('/')}/{self.name}" for mirror in self.mirrors)

    @property
    def origin(self) -> "File":
        """The file to download for it: itself, unless it is made from another."""
        return self.recipe.source if self.recipe else self


@dataclass(frozen=True)
class Recipe:
    """How a file is made: `make` reads the source and writes the file, each at the path given.

    Packed by another zlib the same contents are other bytes, so a made file is known by the sum
    that was taken of it when it was made. It lies beside the file, in the format of sha256sum.
    """

    source: File
    make: Callable[[Path, Path], None]


def place(file: File) -> Path:
    """Where the file is looked for: in the folder of SFNBENCH_DATA, else in the user's cache."""
    folder = os.environ.get(FOLDER)
    return (Path(folder).expanduser() if folder else _cache()) / file.path


def state(file: File) -> FileState:
    """How the file is where it is looked for."""
    path = place(file)
    try:
        found = _sum(path)
    except DataError:  # a folder in its place, or a file that may not be read
        return "damaged"
    if found is None:
        return "missing"
    if found in _right_sums(file, path):
        return "ok"
    return "damaged"


def locate_file(file: File, watch: Watch | None = None) -> Path:
    """Where the file lies on this machine, checked, and downloaded or made first if need be.

    `watch` is asked for a progress bar before each download. DataError if the file cannot be had.
    """
    path = place(file)
    found = _sum(path)
    if found is not None and found in _right_sums(file, path):
        return path
    if not os.environ.get(FOLDER):
        if file.recipe:
            _make(file.recipe, path, watch)
        else:
            _download(file, path, watch)
        return path
    if found is None:
        raise DataError(_absent(file))
    raise DataError(
        f"{path} is not the file that was expected: its sha256 is {found}, expected {file.sha256}."
        f" It is damaged or something else: delete it; then {_how(file, 'put it in its place')}"
    )


def why_missing(file: File) -> str:
    """The message for a file that is not there and may not be downloaded; empty where all is well.

    No sum is taken.
    """
    if os.environ.get(FOLDER) and not place(file).exists():
        return _absent(file)
    return ""


def _absent(file: File) -> str:
    return f"{FOLDER}={os.environ[FOLDER]} has no {file.path}: {_how(file, 'put it there')}"


def _how(file: File, then: str) -> str:
    """How a user who has a data folder comes by the file."""
    if file.recipe:
        return (
            f"unset {FOLDER} to let sfnbench make it from {file.origin.urls[0]}, or {then}, "
            f"with its .sha256"
        )
    return f"download {file.urls[0]} and {then}, or unset {FOLDER} to let sfnbench download it"


def _right_sums(file: File, path: Path) -> set[str]:
    """The sums that are right for what lies at path."""
    if file.recipe is None:
        return {file.sha256}
    try:
        return {
            file.sha256,
            _note(path).read_text(encoding="ascii", errors="replace")[:64],
        }
    except OSError:  # no sum was taken, or none that can be read
        return {file.sha256}


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sum(path: Path) -> str | None:
    """The file's sha256; None if there is no such file."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}"
        ) from error


@functools.cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Taken once a process, for as long as the file stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache() -> Path:
    import pooch  # imported only where it is needed: sfnbench answers `list` without it

    return Path(pooch.os_cache("sfnbench"))


def _make(recipe: Recipe, path: Path, watch: Watch | None) -> None:
    """Make the file beside its place, then move it there: half of it is never taken for all."""
    source = locate_file(recipe.source, watch)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            recipe.make(source, made)
            note = _note(made)
            note.write_text(f"{_sum(made)}  {path.name}\n", encoding="ascii")
            made.replace(path)
            note.replace(_note(path))
    except OSError as error:
        raise DataError(
            f"{path} could not be made from {source}: {error.strerror or error}"
        ) from error


def _download(file: File, path: Path, watch: Watch | None) -> None:
    """Put the file at path, from the first mirror that gives it with the right sum."""
    import pooch

    failures = []
    for url in file.urls:
        try:
            with watch(file.name, file.n_bytes) if watch else nullcontext() as bar:
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{file.sha256}",
                    fname=path.name,
                    path=path.parent,
                    downloader=pooch.HTTPDownloader(
                        progressbar=bar, chunk_size=CHUNK, timeout=TIMEOUT_S
                    ),
                )
        # requests' errors are OSErrors; pooch raises ValueError for a wrong sum
        except (OSError, ValueError) as error:
            failures.append(f"  {url}: {_reason(error)}")
        else:
            return
    raise DataError(
        f"{file.path} could not be downloaded into {path.parent}:\n"
        + "\n".join(failures)
        + "\n"
        f"Without a network, put the file into a folder as {file.path} "
        f"and name that folder in {FOLDER}"
    )


def _reason(error: Exception) -> str:
    """The innermost cause in one line, without the wrappings of requests and urllib3."""
    while isinstance(
        cause := getattr(error, "reason", None) or next(iter(error.args), None),
        Exception,
    ):
        error = cause
    text = str(getattr(error, "strerror", None) or error).strip()
    return (text or type(error).__name__).splitlines()[0]
