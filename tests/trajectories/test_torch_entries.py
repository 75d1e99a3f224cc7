"""Entries of stock optimizers: names found without running what has none, and every fault said."""

import json
import sys

import pytest
import torch

from sfnbench.errors import PluginError
from sfnbench.members.named import look_in
from sfnbench.trajectories import stock
from sfnbench.trajectories.classes import find_class
from sfnbench.trajectories.torch_entries import read_entry
from sfnbench.trajectories.trial import Tiny

OWN = """
import torch

class Signed(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, {"lr": lr})

class Plain:
    pass
"""
SMALL = Tiny((("weight", (3, 2)), ("bias", (3,))))


@pytest.mark.parametrize(
    "use",
    [
        "venv.__main__:X",
        "this:X",
        "antigravity.X",
        "pip.__main__.X",
        "json.JSONDecoder",
        "os:path",
    ],
)
def test_modules_that_run_when_they_are_imported_are_left_alone(
    use, monkeypatch, capsys
):
    for name in ("this", "antigravity", "venv.__main__", "pip.__main__"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(PluginError, match="no module of a package"):
        find_class(use, torch.optim.Optimizer, "optimizer")
    assert capsys.readouterr().out == ""


def test_a_module_without_such_a_name_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "loud_script.py").write_text(
        f"import pathlib\npathlib.Path('ran').touch()\n{OWN}"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match="did you mean 'Signed'"):
        find_class("loud_script:Singed", torch.optim.Optimizer, "optimizer")
    assert not (tmp_path / "ran").exists()
    find_class("loud_script:Signed", torch.optim.Optimizer, "optimizer")
    assert (tmp_path / "ran").exists()


def test_what_is_no_class_of_the_kind_is_called_so():
    for use in (
        "torch.nn:Linear",
        "torch.optim:swa_utils",
        "torch.nn.functional.relu",
    ):
        said = "is no subclass of torch.optim.optimizer.Optimizer"
        with pytest.raises(PluginError, match=said):
            find_class(use, torch.optim.Optimizer, "optimizer")


@pytest.mark.parametrize("separator", [".", ":"])
def test_a_module_in_the_current_folder_or_in_one_that_is_told_is_found(
    separator, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder, name in ((here, "own_here"), (beside, "own_beside")):
        folder.mkdir()
        (folder / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(here)
    for name in ("own_here", "own_beside"):
        if name == "own_beside":
            with pytest.raises(PluginError, match="No module named 'own_beside'"):
                find_class(
                    f"{name}{separator}Signed", torch.optim.Optimizer, "optimizer"
                )
            look_in(beside)
        found = find_class(
            f"{name}{separator}Signed", torch.optim.Optimizer, "optimizer"
        )
        assert found.__module__ == name
        with pytest.raises(PluginError, match="unknown optimizer"):
            find_class(
                f"{name}{separator}Plain", torch.optim.Optimizer, "optimizer"
            )
        del sys.modules[name]


@pytest.mark.parametrize(
    "source", ["raise KeyError('x')", "import sys; sys.exit(3)", "1 +"]
)
def test_what_a_module_raises_is_said(source, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "raising_module.py").write_text(source)
    ((path, said),) = stock.find_faults("raising_module:X", {})
    assert path == ()
    assert said.startswith("unknown optimizer 'raising_module:X': ")


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        ({"base": {"lr": 0.1}}, ("base",), "with the key 'use'"),
        ({"base": 3}, ("base",), "with the key 'use'"),
        (
            {"base": {"use": "torch.optim.SDG"}},
            ("base", "use"),
            "did you mean 'SGD'",
        ),
        (
            {"base": {"use": "torch.optim.SGD", "lrr": 1}},
            ("base", "lrr"),
            "unknown key 'lrr'",
        ),
        (
            {"base": {"use": "torch.optim.SGD", "clip": 1}},
            ("base", "clip"),
            "beside base",
        ),
    ],
)
def test_faults_of_an_optimizer_inside(params, path, message):
    ((found, said),) = stock.find_faults("pytorch_optimizer.Lookahead", params)
    assert found == path
    assert message in said


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        (
            {"base": {"use": "torch.optim.SGD"}},
            ("base",),
            "has no optimizer inside",
        ),
        (
            {"schedule": "cosine"},
            ("schedule",),
            "no budget says them here: {use: cosine, steps: NUMBER}",
        ),
        (
            {"schedule": {"use": "cosine", "steps": 0}},
            ("schedule",),
            "steps must be",
        ),
        (
            {"schedule": {"use": "cosine", "step": 9}},
            ("schedule",),
            "did you mean 'steps'",
        ),
        (
            {"schedule": {"use": "cosin", "steps": 9}},
            ("schedule",),
            "did you mean 'cosine'",
        ),
        (
            {"schedule": {"use": "constant"}},
            ("schedule",),
            "says nothing without warmup",
        ),
        ({"schedule": {"use": "StepLRR"}}, ("schedule",), "did you mean 'StepLR'"),
        ({"clip": -1}, ("clip",), "a positive number"),
        ({"clip": {"norms": 1}}, ("clip",), "a positive number"),
        (
            {"momentum": {"schedule": "cosine"}},
            ("momentum",),
            "momentum must be a number: only lr has a schedule",
        ),
        ({"groups": [1]}, ("groups",), "must map tensors to settings"),
        (
            {"groups": {"vectors": 3}},
            ("groups", "vectors"),
            "settings, or an optimizer",
        ),
        (
            {"groups": {"vectors": {"lrr": 1}}},
            ("groups", "vectors", "lrr"),
            "did you mean 'lr'",
        ),
        (
            {"groups": {"vectors": {"use": "torch.optim.SGD", "groups": {}}}},
            ("groups", "vectors", "groups"),
            "it belongs beside groups",
        ),
    ],
)
def test_faults_of_the_keys_beside_the_class_s_own(params, path, message):
    ((found, said),) = stock.find_faults("torch.optim.SGD", params)
    assert found == path
    assert message in said


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"groups": {"*.norm": {"lr": 1}}},
            "the group '*.norm' matches no tensor: there is weight",
        ),
        (
            {"groups": {"*": {"use": "torch.optim.Adam"}}},
            "leave no tensor for torch.optim.SGD",
        ),
        (
            {"schedule": {"use": "StepLR"}},
            "StepLR needs 'step_size'",
        ),
    ],
)
def test_faults_that_the_tensors_bring_out(params, message):
    ((_, said),) = stock.find_faults("torch.optim.SGD", params, {"small": SMALL})
    assert message in said


def test_who_asks_for_losses_leaves_no_tensors_to_another():
    params = {"groups": {"vectors": {"use": "torch.optim.SGD"}}}
    ((_, said),) = stock.find_faults("torch.optim.LBFGS", params, {"small": SMALL})
    assert "leaves no tensors to another optimizer" in said


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        ({"clip_grad_norm": -1}, "clip_grad_norm", "a positive number"),
        ({"clip_grad_norm": 1, "clip": 1}, "clip_grad_norm", "say the same thing"),
        ({"no_decay": 3}, "no_decay", "must list parts of names"),
        (
            {"no_decay": ["norm"]},
            "no_decay",
            "the group '*norm*' matches no tensor",
        ),
        ({"lr": {"schedule": "cosin"}}, "lr", "did you mean 'cosine'"),
        ({"lr": {"schedule": "cosine", "end": 1e-3}}, "lr", "wants a start"),
        ({"lr": {"schedule": "cosine", "steps": 5, "start": -1}}, "lr", "-1"),
    ],
)
def test_faults_of_other_spellings_stand_where_the_suite_has_them(
    params, path, message
):
    ((found, said),) = stock.find_faults(
        "torch.optim.SGD", params, {"small": SMALL}, n_steps=9
    )
    assert found == (path,)
    assert message in said


@pytest.mark.parametrize(
    ("use", "ways"),
    [
        (
            "torch.optim.Adam",
            [{}, {"lr": 1e-3}, {"betas": [0.9, 0.999], "weight_decay": 0}],
        ),
        (
            "torch.optim.SGD",
            [
                {"lr": 0.1, "schedule": "cosine"},
                {"lr": 0.1, "schedule": {"use": "cosine"}},
                {"lr": {"schedule": "cosine", "start": 0.1}},
            ],
        ),
        (
            "torch.optim.SGD",
            [
                {"lr": 0.5, "schedule": {"use": "linear", "end": 0.25}},
                {"lr": {"schedule": "linear", "start": 0.5, "end": 0.125}},
            ],
        ),
        (
            "torch.optim.SGD",
            [{"clip": 1}, {"clip": {"norm": 1.0}}, {"clip_grad_norm": 1.0}],
        ),
        ("torch.optim.SGD", [{"clip": {"value": 2}}, {"clip_grad_value": 2.0}]),
        (
            "torch.optim.AdamW",
            [{"no_decay": "bias"}, {"groups": {"*bias*": {"weight_decay": 0.0}}}],
        ),
        (
            "pytorch_optimizer.Lookahead",
            [
                {"base": "torch.optim.SGD"},
                {"optimizer": {"use": "torch.optim.SGD", "lr": 1e-3}},
            ],
        ),
        ("torch.optim.SGD", [{"lr": 1}, {"lr": 1.0, "batch_size": None}]),
    ],
)
def test_what_means_the_same_has_one_form(use, ways):
    forms = [stock.completed(use, params, 9) for params in ways]
    assert all(json.dumps(form) == json.dumps(forms[0]) for form in forms)
    assert stock.completed(use, forms[0], 9) == forms[0]


def test_the_form_has_the_class_s_own_defaults():
    form = stock.completed("torch.optim.Adam", {"lr": 0.01, "batch_size": 5})
    assert (form["lr"], form["betas"], form["batch_size"]) == (
        0.01,
        [0.9, 0.999],
        5,
    )
    assert stock.completed("torch.optim.Adam", {"amsgrad": True})["amsgrad"] is True


def test_a_wrapper_hands_on_what_is_written_beside_its_base():
    params = {"base": "torch.optim.SGD", "lr": 0.5, "rho": 0.1}
    form = stock.completed("pytorch_optimizer.SAM", params)
    assert (form["lr"], form["rho"]) == (0.5, 0.1)
    assert "lr" not in form["base"]
    assert read_entry("pytorch_optimizer.SAM", form).base.own == {"lr": 0.5}


def test_muon_alone_leaves_vectors_to_adamw():
    (group,) = read_entry("torch.optim.Muon", {}).groups
    assert (group.selector, group.other.use) == ("vectors", "torch.optim.AdamW")
    flat = Tiny((("theta", (2,)),))
    ((_, said),) = stock.find_faults("torch.optim.Muon", {}, {"flat": flat})
    assert said.endswith(
        "is for matrices, and there are none: there is theta (1 dimension)"
    )
    square = Tiny((("weight", (2, 3)),))
    assert stock.find_faults("torch.optim.Muon", {}, {"square": square}) == []


def test_groups_are_implied_only_where_a_class_cannot_do_without() -> None:
    for name, n_groups in (("NorMuon", 2), ("SpectralSphere", 1), ("Magma", 0)):
        assert len(read_entry(f"pytorch_optimizer.{name}", {}).groups) == n_groups
