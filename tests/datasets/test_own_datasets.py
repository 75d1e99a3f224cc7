"""Datasets that users and packages bring: a file each, found by being there."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from sfnbench import datasets
from sfnbench.errors import DataError
from sfnbench.members.identity import source_hash
from sfnbench.members.registry import build

STRIPES = '''
"""Stripes, upright and lying."""

import numpy as np

from sfnbench.datasets import ImageDataset, Pixels


def read(split):
    labels = np.arange(6) % 2
    upright = np.tile([0, 9], (4, 2))
    return Pixels(np.stack([upright.T if y else upright for y in labels]), labels, 9.0)


DATASET = ImageDataset(
    n_train=6, n_test=0, side=4, n_classes=2, read=read, terms="none", comes_with="me"
)
'''
SUITE = """
seeds: 2
budget: {steps: 3}
problems: [{use: mlp, dataset: stripes, size: 4, n_examples: 6, hidden: [2]}]
optimizers: [gradient_descent]
"""


def test_a_plugin_brings_a_dataset_that_networks_train_on(plugin):
    path = plugin("datasets", "stripes", STRIPES)
    assert "stripes" in datasets.names("images")
    upright, lying = datasets.load("stripes", n_examples=2).x
    assert np.array_equal(upright, np.tile([0.0, 1.0], (4, 2)))
    assert np.array_equal(lying, upright.T)
    params = {"dataset": "stripes", "size": 4, "n_examples": 6, "hidden": [2]}
    assert build("problem", "mlp", params).dim == (16 + 1) * 2 + (2 + 1) * 2
    before = source_hash("problem", "mlp", params)
    path.write_text(STRIPES.replace("% 2", "// 3"))
    assert source_hash("problem", "mlp", params) != before


def test_a_suite_runs_on_it(sfnbench, here):
    folder = here / "plugins" / "datasets"
    folder.mkdir(parents=True)
    (folder / "stripes.py").write_text(STRIPES)
    (here / "suites" / "striped.yaml").write_text(SUITE)
    code, _, err = sfnbench("run", "striped")  # in a process of its own
    assert code == 0, err
    assert "Stripes, upright and lying." in sfnbench("list", "datasets")[1]


def test_a_lone_file_will_do(plugin):
    path = plugin("datasets", "stripes", STRIPES)
    path.rename(path.parents[1] / "bands.py")
    assert datasets.find("bands").n_classes == 2


def test_a_broken_one_says_where_and_stops_no_other(plugin):
    path = plugin("datasets", "broken", "1 / 0\nDATASET = None\n")
    assert "broken" in datasets.names()
    assert "broken" not in datasets.names("images") + datasets.names("text")
    with pytest.raises(DataError, match=f"{path}: cannot .* division by zero"):
        datasets.find("broken")
    plugin("datasets", "empty", "DATASET = 3\n")
    with pytest.raises(
        DataError, match="should be an ImageDataset or a TextDataset"
    ):
        datasets.find("empty")


def test_a_name_that_is_taken_names_both_files(plugin):
    path = plugin("datasets", "digits", STRIPES)
    with pytest.raises(
        DataError, match=f"two datasets are called 'digits': .*{path}"
    ):
        datasets.names()


def test_entry_points_bring_datasets_and_suites(tmp_path):
    package = tmp_path / "striped"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "pictures.py").write_text(STRIPES.replace("DATASET", "PICTURES"))
    (package / "their_suite.yaml").write_text(SUITE)
    info = tmp_path / "striped-1.dist-info"
    info.mkdir()
    about = "Metadata-Version: 2.1\nName: striped\nVersion: 1\n"
    (info / "METADATA").write_text(about)
    (info / "entry_points.txt").write_text(
        "[sfnbench.datasets]\nstripes = striped.pictures:PICTURES\n"
        "[sfnbench.suites]\nany = striped\n"
    )
    code = f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        from sfnbench import datasets, load_suite
        assert datasets.find("stripes").side == 4
        assert load_suite("their_suite").problems[0].params["dataset"] == "stripes"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
