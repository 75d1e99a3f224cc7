"""A card as an object; a card that is refused leaves no file."""

from pathlib import Path

import pytest

import sfnbench
from sfnbench.card import making
from sfnbench.errors import SuiteError


@pytest.mark.parametrize("params", [{}, {"lr": "fast"}])
def test_a_method_that_is_refused_leaves_no_file(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "msgd" if params else "nosuch"
    with pytest.raises(SuiteError, match="nosuch" if not params else "lr"):
        sfnbench.make_card(name, params)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_method_without_minibatches_has_the_rest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = making._card_suites("scipy.optimize.trust-krylov", {})
    assert set(parts) == {"card_saddles", "card_network", "card_steps"}
    assert not Path(making.CARD_FOLDER, "card_noise").exists()


def test_it_prints_as_text_and_as_html():
    card = making.Card("sgd", {"A <title>": [{"optimizer": "sgd", "n": 3}]}, [])
    assert repr(card) == "<Card of sgd: 1 tables>"
    assert "A <title>\noptimizer" in str(card)
    assert "<h3>A &lt;title&gt;</h3><table>" in card._repr_html_()
