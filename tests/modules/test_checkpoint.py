"""Checkpoints: found under the usual keys and prefixes, refused where they are another model's."""

import pytest
import torch
from torch import nn

from sfnbench import ModelError
from sfnbench.modules.checkpoint import load_checkpoint


@pytest.mark.parametrize("key", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_the_weights_are_found(tmp_path, key, prefix):
    state = {f"{prefix}weight": torch.ones(2, 3), f"{prefix}bias": torch.zeros(2)}
    torch.save({key: state, "epoch": 2} if key else state, tmp_path / "a.pt")
    model = nn.Linear(3, 2)
    load_checkpoint(model, tmp_path / "a.pt")
    assert torch.equal(model.weight, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (
            nn.Linear(4, 2).state_dict(),
            r"another model: 'weight' is \(2, 4\) there and \(2, 3\) here$",
        ),
        ({"weight": torch.ones(2, 3)}, r"1 tensor missing \('bias'\)"),
        (
            {**nn.Linear(3, 2).state_dict(), "more": torch.ones(1)},
            r"1 tensor too many \('more'\)",
        ),
        ({"epoch": 3}, "holds no state dict"),
        (nn.Linear(3, 2), "more than weights, which would run code"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, saved, message):
    torch.save(saved, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=message):
        load_checkpoint(nn.Linear(3, 2), tmp_path / "a.pt")


def test_a_file_that_is_not_there_or_no_checkpoint(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_checkpoint(nn.Linear(3, 2), tmp_path / "a.pt")
    (tmp_path / "a.pt").write_text("weights")
    with pytest.raises(ModelError, match=r"a\.pt"):
        load_checkpoint(nn.Linear(3, 2), tmp_path / "a.pt")
