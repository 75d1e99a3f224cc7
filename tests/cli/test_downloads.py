"""`sfnbench data` as a person meets it."""

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from mirror import serving
from rich.console import Console

from sfnbench.cli import main as cli
from sfnbench.cli.downloads import download_bar
from sfnbench.datasets import File, _files, locate_file, mnist, names

CONTENT = {"images.gz": bytes(200_000), "labels.gz": b"labels"}


@pytest.fixture
def sfnbench(monkeypatch, capsys):
    """Call the command line in this process: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sfnbench", *words])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return exit_.value.code or 0, out, err

    return call


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """MNIST of two small files on a mirror of our own.

    What the mirror gives out, and what it is asked for.
    """
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SFNBENCH_DATA", raising=False)
    monkeypatch.setattr(_files, "_cache", lambda: tmp_path / "cache")
    with serving(folder) as (address, asked):
        files = tuple(
            File(
                f"mnist/{name}",
                hashlib.sha256(content).hexdigest(),
                (address,),
                len(content),
            )
            for name, content in CONTENT.items()
        )
        monkeypatch.setattr(mnist, "DATASET", replace(mnist.DATASET, files=files))
        yield folder, asked


def rows(sfnbench, *words):
    code, out, _ = sfnbench("data", *words, "--format", "json")
    return code, json.loads(out)


def test_list_says_where_everything_is(sfnbench, mirror, tmp_path, monkeypatch):
    code, listed = rows(sfnbench, "list")
    assert code == 0
    assert tuple(row["name"] for row in listed) == names()
    where = {row["name"]: row["where"] for row in listed}
    assert (where["digits"], where["text"], where["mnist"]) == (
        "with scikit-learn",
        "with Python",
        "to be downloaded",
    )
    assert all(row["what"] and row["terms"] for row in listed)

    _, [row] = rows(sfnbench, "list", "mnist")
    assert (row["files"], row["size"]) == (2, "200.0 kB")
    locate_file(mnist.DATASET.files[0])
    assert (
        rows(sfnbench, "list", "mnist")[1][0]["where"]
        == "1 of 2 files in the cache"
    )
    locate_file(mnist.DATASET.files[1])
    assert rows(sfnbench, "list", "mnist")[1][0]["where"] == "cache"

    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    assert (
        rows(sfnbench, "list", "mnist")[1][0]["where"]
        == "missing from the data folder"
    )
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path / "cache"))
    assert rows(sfnbench, "list", "mnist")[1][0]["where"] == "data folder"


def test_verify_says_what_is_wrong_with_which_file(sfnbench, mirror, tmp_path):
    def states():
        code, table = rows(sfnbench, "verify", "mnist")
        assert [row["file"] for row in table] == [
            str(tmp_path / "cache/mnist" / name) for name in CONTENT
        ]
        return code, [row["state"] for row in table]

    assert states() == (1, ["missing", "missing"])
    assert sfnbench("data", "fetch", "mnist")[0] == 0
    assert states() == (0, ["ok", "ok"])
    (tmp_path / "cache/mnist/labels.gz").write_bytes(b"label")
    assert states() == (1, ["ok", "damaged"])
    (tmp_path / "cache/mnist/images.gz").unlink()
    assert states() == (1, ["missing", "damaged"])


def test_what_comes_with_a_package_is_verified_by_reading_it(sfnbench, monkeypatch):
    assert rows(sfnbench, "verify", "digits", "text") == (
        0,
        [
            {"name": "digits", "state": "ok", "file": "(with scikit-learn)"},
            {"name": "text", "state": "ok", "file": "(with Python)"},
        ],
    )
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    code, [row] = rows(sfnbench, "verify", "text")
    assert (code, row["state"]) == (1, "missing")


def test_fetch_prints_the_terms_and_downloads_once(sfnbench, mirror, tmp_path):
    _, asked = mirror
    for _ in range(2):
        code, out, _ = sfnbench("data", "fetch", "mnist", "digits")
        assert code == 0
        assert out.splitlines() == [
            "mnist: terms: commonly stated as CC BY-SA 3.0",
            f"    {tmp_path}/cache/mnist/images.gz",
            f"    {tmp_path}/cache/mnist/labels.gz",
            "digits: terms: CC BY 4.0",
            "    comes with scikit-learn",
        ]
    assert asked == ["/images.gz", "/labels.gz"]


def test_fetch_goes_on_where_one_file_cannot_be_had(sfnbench, mirror, tmp_path):
    folder, _ = mirror
    (folder / "images.gz").unlink()
    code, out, err = sfnbench("data", "fetch", "mnist")
    assert code == 1
    assert "mnist/images.gz could not be downloaded" in err
    assert f"{tmp_path}/cache/mnist/labels.gz" in out
    assert "images.gz" not in out


def test_fetch_leaves_the_network_alone_where_there_is_a_data_folder(
    sfnbench, mirror, tmp_path, monkeypatch
):
    _, asked = mirror
    monkeypatch.setenv("SFNBENCH_DATA", str(tmp_path))
    code, _, err = sfnbench("data", "fetch", "mnist")
    assert code == 1
    assert (
        f"SFNBENCH_DATA={tmp_path} is set: its files are checked, nothing is downloaded"
        in err
    )
    assert f"SFNBENCH_DATA={tmp_path} has no mnist/images.gz: download " in err
    assert asked == []


@pytest.mark.parametrize("command", ["list", "fetch", "verify"])
def test_an_unknown_name_is_one_line_and_nothing_is_done(sfnbench, mirror, command):
    code, out, err = sfnbench("data", command, "mnist", "nmist")
    assert code == 2
    assert err.strip() == "unknown dataset 'nmist' (did you mean 'mnist'?)"
    assert out == ""
    assert mirror[1] == []


def test_a_terminal_shows_a_bar_that_fills(mirror):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100)
    locate_file(
        mnist.DATASET.files[0],
        lambda name, n_bytes: download_bar(console, name, n_bytes),
    )
    assert "images.gz" in shown.getvalue()
    assert "200.0/200.0 kB" in shown.getvalue()


# pooch says 0 where the mirror says nothing
@pytest.mark.parametrize("said", [0, 300])
@pytest.mark.parametrize("n_bytes", [0, 250])
def test_the_bar_ends_full_whatever_was_said(said, n_bytes):
    console = Console(file=io.StringIO(), force_terminal=True)
    with download_bar(console, "x", n_bytes) as bar:
        assert bar.total == (n_bytes or None)
        bar.total = said
        assert bar.total == (said or n_bytes or None)
        bar.update(1024)
        bar.reset()
        bar.update(said)
        bar.close()
        [task] = bar._progress.tasks
        assert task.completed == (bar.total or 0)


def test_elsewhere_there_is_no_bar():
    shown = io.StringIO()
    with download_bar(Console(file=shown), "x", 100) as bar:
        assert bar is None
    assert shown.getvalue() == ""


@pytest.mark.parametrize(
    "words", [["--help"], ["data", "--help"], ["data", "fetch", "--help"]]
)
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys; from sfnbench.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
        "assert not {'torch', 'numpy', 'pooch', 'requests'} & set(sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Usage" in shown
