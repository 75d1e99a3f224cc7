"""Files that are found, downloaded or made, and checked before they are used."""

import errno
import hashlib
import resource
import shutil
from pathlib import Path

import pooch
import pytest
from mirror import serving

from sfnbench import datasets
from sfnbench.datasets import DataError, File, _files, locate_file, place, state
from sfnbench.datasets._files import Recipe

# -- files in a folder -----------------------------------------------------------------------------


def file_of(content, mirrors=("https://mirror.invalid/data",)):
    return File("set/part.gz", hashlib.sha256(content).hexdigest(), mirrors)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        pytest.fail("the network was tried though SFNBENCH_DATA is set")

    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", fail)
    (tmp_path / "set").mkdir()
    return tmp_path


def test_found_in_the_folder(folder):
    (folder / "set/part.gz").write_bytes(b"right")
    assert locate_file(file_of(b"right")) == folder / "set/part.gz"


def test_missing_file_says_how_to_get_it(folder):
    expected = f"SFNBENCH_DATA={folder} has no set/part.gz: download https://mirror.invalid/data/part.gz"
    with pytest.raises(DataError, match=expected):
        locate_file(file_of(b"right"))


def test_state(folder):
    file = file_of(b"right")
    assert state(file) == "missing"
    (folder / "set/part.gz").write_bytes(b"wrong")
    assert state(file) == "damaged"
    (folder / "set/part.gz").write_bytes(b"right, and too long")
    assert state(file) == "damaged"
    (folder / "set/part.gz").write_bytes(b"right")
    assert state(file) == "ok"
    (folder / "set/part.gz").unlink()
    (folder / "set/part.gz").mkdir()
    assert state(file) == "damaged"


def test_missing_folder(folder, monkeypatch):
    monkeypatch.setenv("SFNBENCH_DATA", str(folder / "nowhere"))
    with pytest.raises(
        DataError, match=r"nowhere has no set/part.gz: .* or unset SFNBENCH_DATA"
    ):
        locate_file(file_of(b"right"))


def test_wrong_sum_names_the_file_and_both_sums(folder):
    (folder / "set/part.gz").write_bytes(b"wrong")
    sums = [hashlib.sha256(content).hexdigest() for content in (b"wrong", b"right")]
    with pytest.raises(
        DataError,
        match=rf"set/part.gz is not .* is {sums[0]}, expected {sums[1]}\."
        r".*delete it; then download",
    ):
        locate_file(file_of(b"right"))


def test_a_folder_in_the_place_of_the_file(folder):
    (folder / "set/part.gz").mkdir()
    with pytest.raises(
        DataError, match=r"set/part.gz cannot be read: Is a directory"
    ):
        locate_file(file_of(b"right"))


def test_sums_are_taken_once_and_again_after_a_change(folder, monkeypatch):
    taken = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda *args: taken.append(args) or digest(*args)
    )
    path = folder / "set/part.gz"
    path.write_bytes(b"right")
    for _ in range(3):
        locate_file(file_of(b"right"))
    assert len(taken) == 1
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="is not the file that was expected"):
        locate_file(file_of(b"right"))


# -- files from the network ------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror on this machine: its address, the folder it gives, the paths that were asked for.

    And a cache of our own.
    """
    given_out = tmp_path / "mirror"
    given_out.mkdir()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SFNBENCH_DATA", raising=False)
    monkeypatch.setattr(_files, "_cache", lambda: tmp_path / "cache")
    with serving(given_out) as (address, asked):
        yield address, given_out, asked


def test_downloaded_once(mirror, tmp_path):
    address, given_out, asked = mirror
    (given_out / "part.gz").write_bytes(b"right")
    for _ in range(2):
        path = locate_file(file_of(b"right", (address,)))
        assert path == tmp_path / "cache/set/part.gz"
        assert path.read_bytes() == b"right"
    assert asked == ["/part.gz"]


def test_next_mirror_where_one_fails(mirror):
    address, given_out, _ = mirror
    for name, content in {
        "lacks": None,
        "damaged": b"wrong",
        "good": b"right",
    }.items():
        (given_out / name).mkdir()
        if content:
            (given_out / name / "part.gz").write_bytes(content)
    mirrors = tuple(f"{address}/{name}" for name in ("lacks", "damaged", "good"))
    assert locate_file(file_of(b"right", mirrors)).read_bytes() == b"right"


def test_damaged_cache_is_downloaded_again(mirror, tmp_path):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"right")
    (tmp_path / "cache/set").mkdir(parents=True)
    (tmp_path / "cache/set/part.gz").write_bytes(b"wrong")
    assert locate_file(file_of(b"right", (address,))).read_bytes() == b"right"


def test_no_mirror_helps(mirror, tmp_path):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"wrong")
    closed = "http://127.0.0.1:9"  # the discard port: nobody listens
    with pytest.raises(DataError) as caught:
        locate_file(file_of(b"right", (address, address + "/lacks", closed)))
    text = str(caught.value)
    assert "set/part.gz could not be downloaded into" in text
    assert hashlib.sha256(b"right").hexdigest() in text
    assert hashlib.sha256(b"wrong").hexdigest() in text
    assert f"{address}/lacks/part.gz: 404" in text
    assert f"{closed}/part.gz: " in text
    assert "name that folder in SFNBENCH_DATA" in text
    assert not list((tmp_path / "cache/set").iterdir())


def test_cache_that_cannot_be_written(mirror, tmp_path):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"right")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cache/set/part\.gz"):
        locate_file(file_of(b"right", (address,)))


@pytest.mark.parametrize("ending", ["breaks", "hangs"])
def test_a_mirror_that_ends_in_the_middle(mirror, tmp_path, monkeypatch, ending):
    address, given_out, _ = mirror
    # the mirror that answers has time enough
    monkeypatch.setattr(_files, "TIMEOUT_S", 3)
    with pytest.raises(DataError, match=f"{address}/{ending}/part.gz: "):
        locate_file(file_of(b"right", (f"{address}/{ending}",)))
    assert not list((tmp_path / "cache/set").iterdir())
    (given_out / "part.gz").write_bytes(b"right")
    assert (
        locate_file(
            file_of(b"right", (f"{address}/{ending}", address))
        ).read_bytes()
        == b"right"
    )


def test_a_disk_that_is_full_in_the_middle(mirror, tmp_path):
    address, given_out, _ = mirror
    content = bytes(4_000_000)
    (given_out / "part.gz").write_bytes(content)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # to whoever writes more, the disk is as good as full
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(
            DataError, match=r"could not be downloaded into (?s:.)*File too large"
        ):
            locate_file(file_of(content, (address,)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "cache/set").iterdir())
    assert locate_file(file_of(content, (address,))).stat().st_size == len(content)


# -- files that are made ---------------------------------------------------------------------------

MADE = "set/made.txt"


def made_of(content, mirrors=(), make=None):
    """A file that is its source in capitals; its known sum is of another packing of the same."""

    def shout(source, path):
        path.write_bytes(source.read_bytes().upper())

    return File(
        MADE,
        hashlib.sha256(b"elsewhere").hexdigest(),
        (),
        7,
        Recipe(file_of(content, mirrors), make or shout),
    )


def test_made_once_from_what_is_downloaded_once(mirror, tmp_path):
    address, given_out, asked = mirror
    (given_out / "part.gz").write_bytes(b"right")
    made = []

    def shout(source, path):
        made.append(path)
        path.write_bytes(source.read_bytes().upper())

    file = made_of(b"right", (address,), shout)
    assert state(file) == "missing"
    for _ in range(2):
        path = locate_file(file)
        assert path == tmp_path / "cache" / MADE == place(file)
        assert path.read_bytes() == b"RIGHT"
        assert state(file) == "ok"
    assert len(made) == len(asked) == 1
    sums = {p.name for p in path.parent.iterdir()}
    assert sums == {"part.gz", "made.txt", "made.txt.sha256"}
    line = path.with_name("made.txt.sha256").read_text()
    # sha256sum -c reads such a line
    assert line == f"{hashlib.sha256(b'RIGHT').hexdigest()}  made.txt\n"


@pytest.mark.parametrize("damaged", ["made.txt", "made.txt.sha256"])
@pytest.mark.parametrize("content", [b"", b"RIGHx", None])
def test_damaged_it_is_made_again(mirror, damaged, content):
    address, given_out, asked = mirror
    (given_out / "part.gz").write_bytes(b"right")
    file = made_of(b"right", (address,))
    path = locate_file(file)
    harmed = path.with_name(damaged)
    harmed.unlink() if content is None else harmed.write_bytes(content)
    assert state(file) != "ok"
    assert locate_file(file).read_bytes() == b"RIGHT"
    assert state(file) == "ok"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        DataError("not what it should be"),
    ],
)
def test_half_made_is_not_made(mirror, tmp_path, error):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"right")

    def fail(source, path):
        path.write_bytes(b"RI")
        raise error

    with pytest.raises(
        DataError, match=str(getattr(error, "strerror", None) or error)
    ):
        locate_file(made_of(b"right", (address,), fail))
    assert {path.name for path in (tmp_path / "cache/set").iterdir()} == {"part.gz"}


def test_in_a_data_folder_nothing_is_made(folder, tmp_path):
    file = made_of(b"right", ("https://mirror.invalid",))
    (folder / "set/part.gz").write_bytes(b"right")
    with pytest.raises(
        DataError,
        match=r"has no set/made.txt: unset SFNBENCH_DATA to let sfnbench make it from https",
    ):
        locate_file(file)
    (folder / MADE).write_bytes(b"elsewhere")
    assert locate_file(file).read_bytes() == b"elsewhere"


def test_one_that_was_made_may_be_put_into_a_data_folder(
    mirror, tmp_path, monkeypatch
):
    address, given_out, _ = mirror
    (given_out / "part.gz").write_bytes(b"right")
    file = made_of(b"right", (address,))
    made = locate_file(file)
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path / "folder"))
    (tmp_path / "folder/set").mkdir(parents=True)
    shutil.copy(made, tmp_path / "folder" / MADE)
    with pytest.raises(
        DataError, match=r"made.txt is not the file .*with its \.sha256"
    ):
        locate_file(file)
    shutil.copy(f"{made}.sha256", tmp_path / "folder/set")
    assert locate_file(file) == Path(tmp_path / "folder" / MADE)


def test_what_a_split_lacks_is_found_by_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    mnist = datasets.known("mnist")
    assert (
        "has no mnist/train-images-idx3-ubyte.gz: download"
        in datasets.missing_files(mnist)
    )
    for file in mnist.files:
        if file.split == "train":
            datasets.place(file).parent.mkdir(exist_ok=True)
            datasets.place(file).touch()  # no sum is taken
    assert datasets.missing_files(mnist) == ""
    assert "has no mnist/t10k-images-idx3-ubyte.gz" in datasets.missing_files(
        mnist, "test"
    )
    assert "make it from" in datasets.missing_files(datasets.known("cifar10"))
    assert datasets.missing_files(datasets.known("digits")) == ""
    monkeypatch.delenv("SFNBENCH_DATA")
    # the data may be downloaded
    assert datasets.missing_files(datasets.known("penn_treebank")) == ""
