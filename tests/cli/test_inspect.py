"""`sfnbench inspect`: what it prints, one line for what does not fit, and Ctrl-C."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
OWN = """
import torch
from torch import nn

torch.manual_seed(0)
X, Y = torch.randn(40, 6), torch.randint(0, 3, (40,))


def build():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def load():
    return X, Y


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = build()

    def forward(self, x):
        return self.inner(x), x


def broken():
    model = build()
    model[0].weight.data[0, 0] = torch.nan
    return model


def empty():
    return torch.utils.data.DataLoader([])


def by_name():
    return {"x": X, "y": Y}


def away():
    return X.to("meta"), Y


def fails():
    return torch.load("absent.pt")


def total(z, y):
    return nn.functional.cross_entropy(z, y, reduction="sum")


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch["x"])[0], batch["y"])


def large():
    return nn.Sequential(nn.Linear(6, 400), nn.Tanh(), nn.Linear(400, 3))
"""


@pytest.fixture
def own(here, request):
    """A module of one's own in the current folder, of a name that no other test imports."""
    name = f"own_{abs(hash(request.node.name))}"
    (here / f"{name}.py").write_text(OWN)
    torch.save(nn.Linear(4, 2).state_dict(), here / "other.pt")
    return name


@pytest.mark.parametrize(
    ("model", "data", "more", "said"),
    [
        ("Pair", "load", (), "returns a tuple of 2, but one tensor"),
        (
            "build",
            "by_name",
            (),
            "a dict of 'x', 'y': give a loss of (model, batch)",
        ),
        ("broken", "load", (), "'0.weight' are not finite"),
        ("build", "empty", (), "the loader is empty"),
        ("build", "away", (), "the data are on the device meta"),
        ("build", "load", ("--checkpoint", "other.pt"), "of another model: "),
        ("build", "load", ("--checkpoint", "absent.pt"), "no such file"),
        ("build", "fails", (), ".py:46: data "),
        ("build", "lod", (), "has no lod (did you mean 'load'?)"),
    ],
)
def test_what_does_not_fit_is_one_line(sfnbench, own, model, data, more, said):
    words = ("inspect", f"{own}:{model}", "--data", f"{own}:{data}", *more)
    code, out, err = sfnbench(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_loss_of_model_and_batch_and_a_sum_are_taken(sfnbench, own):
    def found(model, data, criterion):
        names = (f"{own}:{each}" for each in (model, data, criterion))
        model, data, criterion = names
        words = "--data", data, "--criterion", criterion, "--format", "json"
        code, out, _ = sfnbench("inspect", model, *words)
        assert code == 0
        return json.loads(out)

    total, pair = found("build", "load", "total"), found("Pair", "by_name", "loss")
    assert pair["loss"] == pytest.approx(total["loss"], rel=1e-12)
    assert pair["lowest"] == pytest.approx(total["lowest"], abs=1e-12)
    assert any("divided by their number" in note for note in total["notes"])


def test_ctrl_c_keeps_what_is_there(here, own):
    """A real one, to a real process, in the middle of very many products."""
    words = ("inspect", f"{own}:large", "--data", f"{own}:load", "--format", "json")
    process = subprocess.Popen(
        [sys.executable, "-m", "sfnbench", *words, "--products", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    try:
        for line in process.stderr:
            if "Hessian-vector products" in line:
                break
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    found = json.loads(out)
    assert not found["is_complete"]
    assert found["loss"] > 0
    assert found["gradient_norm"] > 0
    assert found["lowest"] is None
