"""Whatever is wrong with a stock optimizer is one line with its place, before anything runs."""

from pathlib import Path

import pytest
from suite_writing import enter, expect, load, race

MLP = "[{use: mlp, dataset: digits, size: 3, n_examples: 40, hidden: [3]}]"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)


def test_faults_stand_at_their_places() -> None:
    expect(
        """
        problems: [quadratic_saddle]
        optimizers:
          - §torch.optim.Muon
          - {use: torch.optim.SGD, groups: {matrices: §3}}
          - {use: torch.optim.SGD, groups: {vectors: {§lrr: 1}}}
          - {use: torch.optim.AdamW, schedule: §cosine}
          - {use: pytorch_optimizer.SAM, base: §{lr: 0.1}}
          - {use: pytorch_optimizer.Lookahead, base: {use: §torch.optim.SDG}}
          - {use: §pytorch_optimizer.LOMO}
          - {use: torch.optim.Adam, §clip_grad_norm: 1}
          - {use: §torch.optim.SGD, groups: {matrices: {lr: 1}}}
        """,
        "torch.optim.Muon: Muon only supports 2D parameters whereas we found a parameter with "
        "size: torch.Size([2]) (give others to another: groups: {vectors: {use: "
        "torch.optim.AdamW}})",
        "a group has settings, or an optimizer with 'use', not 3",
        "unknown key 'lrr' (did you mean 'lr'?)",
        "the schedule cosine needs its steps: {use: cosine, steps: NUMBER}",
        "base must be an optimizer with the key 'use', as in {use: torch.optim.SGD, lr: 0.1}",
        "unknown optimizer 'torch.optim.SDG' (did you mean 'SGD'?)",
        "pytorch_optimizer.LOMO: it has no step of its own",
        "unknown key 'clip_grad_norm': gradients are clipped by clip: 1.0",
        "torch.optim.SGD: the group 'matrices' matches no tensor: there is theta (1 dimensions)",
    )


def test_what_fits_the_tensors_of_one_problem_alone_says_which_it_does_not_fit() -> (
    None
):
    groups = "groups: {vectors: {use: torch.optim.AdamW}}"
    load(race(f"[{{use: torch.optim.Muon, {groups}}}]", MLP))
    expect(
        f"""
        problems:
          - quadratic_saddle
          - {MLP[1:-1]}
        optimizers:
          - {{use: §torch.optim.Muon, {groups}}}
        """,
        "torch.optim.Muon: its groups leave no tensor for torch.optim.Muon "
        "(on quadratic_saddle, float64)",
    )


def test_dtypes_are_those_of_the_suite() -> None:
    load(race("[pytorch_optimizer.FAdam]", more="dtype: float32\n"))
    expect(
        """
        problems: [quadratic_saddle]
        optimizers: [§pytorch_optimizer.FAdam]
        """,
        "pytorch_optimizer.FAdam: expected dtype float for `end` but got dtype double",
    )


def test_a_module_beside_the_suite_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(
        str(tmp_path / "nothing")
    )  # puts sys.path back in the end
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "beside_the_suite.py").write_text(
        "import torch\n\n\nclass Own(torch.optim.SGD):\n    pass\n"
    )
    (folder / "s.yaml").write_text(race("[{use: 'beside_the_suite:Own', lr: 0.1}]"))
    from sfnbench.suite.reading import load_suite

    (chosen,) = load_suite(folder / "s.yaml").optimizers
    assert chosen.use == "beside_the_suite:Own"
