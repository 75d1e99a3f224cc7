"""The suites of a card: they can be read, with any method in them."""

import pytest

from sfnbench import load_suite
from sfnbench.card.suites import (
    PARTS,
    label_of,
    parameters,
    tuned_fields,
    write_suite,
)
from sfnbench.errors import SfnbenchError


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("noisy_gradient_descent", {"lr": 0.2}),
        ("torch.optim.SGD", {"lr": 0.1}),
        ("krylov_sfn", {}),
    ],
)
@pytest.mark.parametrize("part", PARTS)
def test_a_method_is_put_in(tmp_path, method, params, part):
    suite = load_suite(write_suite(part, method, params, tmp_path))
    last = suite.optimizers[-1]
    assert (last.use, last.label) == (method, label_of(method, params))
    assert len(suite.optimizers) == 5


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "cards").write_text("no folder")
    with pytest.raises(
        SfnbenchError, match=r"card_saddles_sfn\.yaml: cannot be written"
    ):
        write_suite("card_saddles", "sfn", {}, tmp_path / "cards")


def test_a_method_that_is_there_is_there_once(tmp_path):
    suite = load_suite(write_suite("card_saddles", "sfn", {}, tmp_path))
    assert [each.use for each in suite.optimizers].count("sfn") == 1


def test_what_is_given_is_not_tuned():
    assert tuned_fields("msgd", {}) == ["lr"]
    assert tuned_fields("msgd", {"lr": 0.1}) == []
    assert tuned_fields("torch.optim.Adam", {}) == ["lr"]


def test_parameters_as_suites_write_them():
    given = parameters(["lr=1e-3", "damping=paper", "k=20", "betas=[0.9, 0.99]"])
    assert given == {"lr": 1e-3, "damping": "paper", "k": 20, "betas": [0.9, 0.99]}
    with pytest.raises(
        SfnbenchError, match="--set lr: expected a parameter and a value"
    ):
        parameters(["lr"])
