"""Files of data sets: found in SFNBENCH_DATA or downloaded, and used only if their checksum is right."""

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

FOLDER = "SFNBENCH_DATA"  # environment variable: a folder of data files, which turns downloading off
TIMEOUT_S = 30.0  # without an answer from a mirror


@dataclass(frozen=True)
class File:
    """One file of a dataset: its place in a data folder, its sum, and the addresses of folders that hold it."""

    path: str  # such as mnist/train-labels-idx1-ubyte.gz
    sha256: str
    mirrors: tuple[str, ...]  # tried in this order

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]

    @property
    def urls(self) -> tuple[str, ...]:
        """Where it can be had."""
        return tuple(f"{mirror.rstrip('/')}/{self.name}" for mirror in self.mirrors)


def locate(file: File) -> Path:
    """Where the file lies on this machine, checked, and downloaded first if need be; DataError if it cannot be had."""
    folder = os.environ.get(FOLDER)
    if not folder:
        path = _cache() / file.path
        if _sum(path) != file.sha256:
            _download(file, path)
        return path
    path = Path(folder).expanduser() / file.path
    found = _sum(path)
    if found is None:
        raise DataError(
            f"{FOLDER}={folder} has no {file.path}: download {file.urls[0]} and put it there,"
            f" or unset {FOLDER} to let sfnbench download it"
        )
    if found != file.sha256:
        raise DataError(
            f"{path} is not the file that was expected: its sha256 is {found}, expected {file.sha256}."
            f" It is damaged or something else: delete it and download {file.urls[0]} in its place"
        )
    return path


def _sum(path: Path) -> str | None:
    """The file's sha256; None if there is no such file."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@functools.cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Taken once a process, for as long as the file stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache() -> Path:
    import pooch  # imported only where it is needed: sfnbench answers `list` without it

    return Path(pooch.os_cache("sfnbench"))


def _download(file: File, path: Path) -> None:
    """Put the file at path, from the first mirror that gives it with the right sum."""
    import pooch

    failures = []
    for url in file.urls:
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                fname=path.name,
                path=path.parent,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
            )
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch raises ValueError for a wrong sum
            failures.append(f"  {url}: {_reason(error)}")
        else:
            return
    raise DataError(
        f"{file.path} could not be downloaded into {path.parent}:\n" + "\n".join(failures) + "\n"
        f"Without a network, put the file into a folder as {file.path} and name that folder in {FOLDER}"
    )


def _reason(error: Exception) -> str:
    """The innermost cause in one line: what requests and urllib3 wrap around it is noise to a user."""
    while isinstance(cause := getattr(error, "reason", None) or next(iter(error.args), None), Exception):
        error = cause
    text = str(getattr(error, "strerror", None) or error).strip()
    return (text or type(error).__name__).splitlines()[0]
