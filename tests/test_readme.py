"""README and docs do what they say: their Python runs, their suite is right, commands exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from sfnbench import Store, load_suite, plan, run_suite
from sfnbench.members import contract, registry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def test_the_method_in_twelve_lines_keeps_the_contract(plugin):
    (source,) = [block for block in blocks("python") if "@register" in block]
    plugin("optimizers", "my_method", source)
    cls = registry.load(registry.find("optimizer", "my_method"))
    assert not {
        name: wrong for name, wrong in contract.failures(cls).items() if wrong
    }
    body = source.partition("@register")[2].strip().splitlines()
    assert len(body) + source.count("import") <= 12


def test_the_suite_is_right(tmp_path):
    (source,) = [
        block for block in blocks("yaml") if "Which methods leave" in block
    ]
    path = tmp_path / "suite.yaml"
    path.write_text(source)
    assert len(plan(load_suite(path))) == 2 * 4
    path.write_text(source.replace("use: sfn,", "use: sfnn,"))
    message = re.search(
        r"`(suite\.yaml:\d+:\d+): (unknown optimizer 'sfnn'[^`]*)`",
        TEXT.replace("\n", " "),
    )
    with pytest.raises(Exception, match=re.escape(message.group(2))) as raised:
        load_suite(path)
    assert str(raised.value).startswith(f"{tmp_path}/{message.group(1)}")


@pytest.mark.slow
def test_the_suite_of_optimizers_of_others_runs(tmp_path):
    pytest.importorskip("pytorch_optimizer")
    pytest.importorskip("schedulefree")
    (source,) = [
        block for block in blocks("yaml") if "Optimizers of others" in block
    ]
    path = tmp_path / "others.yaml"
    path.write_text(source)
    with Store(run_suite(path, engine="inline", out=tmp_path / "out")) as store:
        statuses = {
            result.run.method.use: result.status for result in store.results()
        }
    assert len(statuses) == 6
    assert set(statuses.values()) <= {"ok", "stopped"}


@pytest.mark.slow
def test_the_python_verbs_run(tmp_path):
    (source,) = [block for block in blocks("python") if "load_suite" in block]
    out = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    first, last = out.stdout.splitlines()
    assert first.startswith("ok [")
    assert last == "{'ok': 28} {}"  # statuses, and nothing failed


def test_the_module_is_trained(tmp_path):
    (source,) = [
        block for block in blocks("python") if "as_torch_optimizer" in block
    ]
    assert len([line for line in source.splitlines() if line]) <= 12
    out = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    loss = float(re.match(r"tensor\(([\d.e-]+)\)", out.stdout).group(1))
    assert loss < 1  # a net that knows nothing has log 10


@pytest.mark.slow
def test_the_commands_run(tmp_path):
    (source,) = [block for block in blocks("sh") if "my_method" in block]
    for line in source.splitlines():
        words = line.partition("#")[0].split()
        out = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert out.returncode == 0, out.stderr
    assert "my_method" in out.stdout


def test_the_readme_takes_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


def test_the_package_page_links_to_nothing_in_the_repository():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    page = settings["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text()
    text = text.partition(page["fragments"][0]["end-before"])[0]
    for change in page["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets
    assert all(target.startswith("https://") for target in targets)
    assert "First steps go on from here" in text


def test_the_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for text in (TEXT, (ROOT / "CONTRIBUTING.md").read_text()):
        for target in re.findall(r"^make ([a-z-]+)", text, re.M):
            assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_large_network_is_as_large_as_it_says():
    (source,) = [block for block in blocks("python") if "WIDTHS" in block]
    own = {}
    exec(source, own)
    n = sum(each.numel() for each in own["build"]().parameters())
    assert f"{n:,} parameters, in a file `deep.py`" in TEXT.replace("\n", " ")


@pytest.mark.slow
def test_one_s_own_network_is_inspected(tmp_path):
    found = [block for block in blocks("python") if "sfnbench.inspect" in block]
    assert len(found) == 2
    source = "\n".join(found)  # the second goes on where the first ends
    out = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("Sequential: ")
    assert "lowest eigenvalue" in out.stdout


def test_the_convolutional_network_trains_and_is_as_large_as_it_says(
    tmp_path, monkeypatch
):
    (source,) = [block for block in blocks("python") if "BatchNorm2d" in block]
    own = {}
    exec(source, own)
    n = sum(each.numel() for each in own["build"]().parameters())
    assert f"the {n:,} parameters" in TEXT
    monkeypatch.chdir(tmp_path)
    own["load"] = lambda: (torch.randn(20, 1, 10, 10), torch.arange(20) % 10)
    own["train"](2)
    own["build"]().load_state_dict(torch.load("cnn.pt", weights_only=True))
