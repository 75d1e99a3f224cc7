import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sfnbench.errors import SuiteError
from sfnbench.members import registry
from sfnbench.members.identity import source_hash
from sfnbench.records import FORMAT, Run, Spec
from sfnbench.suite.plan import plan
from sfnbench.suite.reading import Suite, load_suite

SUITE = """
seeds: 3
budget: {steps: 7}
metrics: [loss, {use: gradient_norm, every: 2}]
timeout: 9
problems:
  - {use: quadratic_saddle, label: bowl, eigenvalues: [1, 2]}
  - {use: quadratic_saddle, label: saddle}
optimizers:
  - {use: sfn, label: SFN}
  - {use: msgd, lr: {grid: [0.1, 0.2]}}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    path = tmp_path_factory.mktemp("suites") / "s.yaml"
    path.write_text(SUITE)
    return load_suite(path)


def labels(runs: tuple[Run, ...]) -> list[tuple[str, str]]:
    return [(run.problem.label, run.method.label) for run in runs]


def test_every_problem_meets_every_optimizer_in_the_order_of_the_suite(
    suite: Suite,
) -> None:
    runs = plan(suite)
    optimizers = ["SFN", "msgd lr=0.1", "msgd lr=0.2"]
    assert labels(runs) == [
        (problem, optimizer)
        for problem in ("bowl", "saddle")
        for optimizer in optimizers
    ]
    for run in runs:
        assert (run.suite, run.experiment, run.seeds, run.dtype, run.device) == (
            "s",
            "race",
            (0, 1, 2),
            "float64",
            "cpu",
        )
        assert run.timeout_s == 9
        assert run.settings == {
            "budget": {"steps": 7, "seconds": None, "cost": None, "epochs": None},
            "metrics": [["loss", {"steps": 1}], ["gradient_norm", {"steps": 2}]],
            "prices": {"loss": 1 / 3, "grad": 1, "hvp": 2, "hessian": 2},
        }
    assert (
        len({run.id for run in runs})
        == len({run.slot for run in runs})
        == len(runs)
    )


def test_names_pick_by_label_and_by_use(suite: Suite) -> None:
    assert labels(plan(suite, problems=["saddle"], optimizers=["msgd"])) == [
        ("saddle", "msgd lr=0.1"),
        ("saddle", "msgd lr=0.2"),
    ]
    assert labels(
        plan(suite, problems=["bowl"], optimizers=["msgd lr=0.2", "SFN"])
    ) == [
        ("bowl", "SFN"),
        ("bowl", "msgd lr=0.2"),
    ]
    assert labels(
        plan(suite, problems=["quadratic_saddle"], optimizers=["sfn", "SFN", "sfn"])
    ) == [
        ("bowl", "SFN"),
        ("saddle", "SFN"),
    ]


def test_a_picked_run_is_the_run_of_the_whole_suite(suite: Suite) -> None:
    ids = {run.id for run in plan(suite)}
    assert {
        run.id for run in plan(suite, problems=["bowl"], optimizers=["SFN"])
    } < ids
    assert plan(
        suite, optimizers=["sfn", "msgd"], problems=["bowl", "saddle"]
    ) == plan(suite)


def test_a_name_that_the_suite_lacks_joins_alone_with_its_defaults(
    suite: Suite,
) -> None:
    runs = plan(
        suite,
        problems=["monkey_saddle", "bowl"],
        optimizers=["gradient_descent", "torch.optim.Adam", "SFN"],
    )
    optimizers = ["SFN", "gradient_descent", "torch.optim.Adam"]
    assert labels(runs) == [
        (problem, optimizer)
        for problem in ("bowl", "monkey_saddle")
        for optimizer in optimizers
    ]
    [run] = plan(suite, problems=["bowl"], optimizers=["gradient_descent"])
    assert run.method == Spec(
        "gradient_descent",
        "gradient_descent",
        vars(registry.load(registry.find("optimizer", "gradient_descent"))()),
        source_hash("optimizer", "gradient_descent", {}),
    )


def test_a_new_plugin_races_beside_the_results_that_are_there(
    suite: Suite, monkeypatch: Any, tmp_path: Path
) -> None:
    before = plan(suite)
    (tmp_path / "plugins/optimizers").mkdir(parents=True)
    (tmp_path / "plugins/optimizers/plan_newcomer.py").write_text(
        "from dataclasses import dataclass\n"
        "from sfnbench import Optimizer, register\n"
        "@register('plan_newcomer')\n"
        "@dataclass(frozen=True)\n"
        "class Newcomer(Optimizer):\n"
        "    lr: float = 0.5\n"
        "    def step(self, oracle, theta, state):\n"
        "        return theta, state\n"
    )
    monkeypatch.chdir(tmp_path)
    runs = plan(suite, optimizers=["plan_newcomer"])
    assert labels(runs) == [("bowl", "plan_newcomer"), ("saddle", "plan_newcomer")]
    assert runs[0].method is not None
    assert runs[0].method.params == {"batch_size": None, "lr": 0.5}
    assert plan(suite) == before


def test_everything_unknown_is_said_at_once(suite: Suite) -> None:
    with pytest.raises(SuiteError) as caught:
        plan(
            suite,
            problems=["sadle"],
            optimizers=["SFNN", "msgdd", "torch.optim.Adm", "sfn"],
            seeds=0,
        )
    assert str(caught.value).split("\n") == [
        "unknown problem 'sadle' (did you mean 'saddle'?)",
        "unknown optimizer 'SFNN' (did you mean 'SFN'?)",
        "unknown optimizer 'msgdd' (did you mean 'msgd'?)",
        "unknown optimizer 'torch.optim.Adm' (did you mean 'Adam'?)",
        "seeds must be at least 1, not 0",
    ]


@pytest.mark.parametrize(
    ("seeds", "picked"),
    [(None, (0, 1, 2)), (1, (0,)), (2, (0, 1)), ([5, 3], (5, 3))],
)
def test_seeds_take_the_place_of_the_suites(
    suite: Suite, seeds: Any, picked: tuple[int, ...]
) -> None:
    assert {run.seeds for run in plan(suite, seeds=seeds)} == {picked}


@pytest.mark.parametrize("seeds", [0, -3, [], [1, 1], [2, -1]])
def test_seeds_must_make_sense(suite: Suite, seeds: Any) -> None:
    with pytest.raises(SuiteError, match="seeds must be"):
        plan(suite, seeds=seeds)


# -- the id ----------------------------------------------------------------------------------------

RUN = Run(
    suite="s",
    experiment="race",
    problem=Spec("p", "P", {"b": [1.0, 2.0], "a": 0.1}, "01"),
    method=Spec("o", "O", {"lr": 1e-5, "word": "é"}, "23"),
    seeds=(0, 2),
    settings={"budget": {"steps": 3, "seconds": None}, "metrics": [["loss", 1]]},
    code={"harness": "45"},
    versions={"torch": "2.13.0"},
)


def test_the_id_is_the_hash_of_what_decides_the_numbers_written_as_json() -> None:
    text = (
        '{"code": {"harness": "45"}, "device": "cpu", "dtype": "float64", '
        '"experiment": "race", "format": %d, '
        '"method": {"params": {"lr": 1e-05, "word": "\\u00e9"}, "source": "23", "use": "o"}, '
        '"problem": {"params": {"a": 0.1, "b": [1.0, 2.0]}, "source": "01", "use": "p"}, '
        '"seeds": [0, 2], "settings": {"budget": {"seconds": null, "steps": 3}, '
        '"metrics": [["loss", 1]]}, '
        '"versions": {"torch": "2.13.0"}}'
    )
    assert hashlib.sha256((text % FORMAT).encode()).hexdigest().startswith(RUN.id)
    assert len(RUN.id) == 16


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_id_is_the_same_in_another_process(
    suite: Suite, hash_seed: str
) -> None:
    code = (
        "import sys; from sfnbench.suite.reading import load_suite; from "
        "sfnbench.suite.plan import plan;"
        "print(*(run.id for run in plan(load_suite(sys.argv[1]))))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", code, str(suite.path)]
    printed = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == [run.id for run in plan(suite)]


def changed(member: Spec | None, **changes: Any) -> Spec:
    assert member is not None
    return replace(member, **changes)


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, suite="t"),
        replace(RUN, timeout_s=1.0),
        replace(RUN, problem=changed(RUN.problem, label="Q")),
        replace(RUN, method=changed(RUN.method, label="Q")),
        replace(
            RUN, problem=changed(RUN.problem, params={"a": 0.1, "b": [1.0, 2.0]})
        ),
    ],
    ids=[
        "suite",
        "timeout",
        "problem's label",
        "optimizer's label",
        "order of parameters",
    ],
)
def test_names_and_patience_leave_the_id_alone(other: Run) -> None:
    assert other.id == RUN.id


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, experiment="other"),
        replace(RUN, problem=changed(RUN.problem, use="q")),
        replace(
            RUN, problem=changed(RUN.problem, params={"b": [1.0, 2.0], "a": 0.2})
        ),
        replace(
            RUN, problem=changed(RUN.problem, params={"b": [2.0, 1.0], "a": 0.1})
        ),
        replace(RUN, problem=changed(RUN.problem, source="02")),
        replace(RUN, method=changed(RUN.method, use="q")),
        replace(RUN, method=changed(RUN.method, params={"lr": 1e-4, "word": "é"})),
        replace(RUN, method=changed(RUN.method, source="24")),
        replace(RUN, code={"harness": "46"}),
        replace(RUN, versions={"torch": "2.14.0"}),
        replace(RUN, seeds=(0, 1)),
        replace(RUN, seeds=(0,)),
        replace(
            RUN, settings={**RUN.settings, "budget": {"steps": 4, "seconds": None}}
        ),
        replace(RUN, settings={**RUN.settings, "metrics": [["loss", 2]]}),
        replace(
            RUN,
            settings={
                **RUN.settings,
                "metrics": [["loss", 1], ["gradient_norm", 1]],
            },
        ),
        replace(RUN, dtype="float32"),
        replace(RUN, device="cuda"),
    ],
)
def test_what_decides_the_numbers_decides_the_id(other: Run) -> None:
    assert other.id != RUN.id


def test_a_suite_says_the_same_in_other_words(suite: Suite, tmp_path: Path) -> None:
    """Comments, labels, the timeout, defaults spelled out, a number written otherwise.

    The same runs.
    """
    path = tmp_path / "other.yaml"
    text = SUITE.replace(
        "label: SFN", "label: other, lr: 1, damping: paper"
    ).replace("timeout: 9", "title: T")
    path.write_text(
        "# other words\n"
        + text.replace("[1, 2]", "[1.0, 2e0]").replace(
            "seeds: 3", "seeds: [0, 1, 2]"
        )
    )
    assert [run.id for run in plan(load_suite(path))] == [
        run.id for run in plan(suite)
    ]


def test_a_run_survives_json(suite: Suite) -> None:
    for run in plan(suite):
        assert json.loads(json.dumps(run.settings)) == run.settings
        assert json.loads(json.dumps(run.problem.params)) == run.problem.params


@pytest.mark.parametrize(
    ("problem", "fall"),
    [
        (
            "use: lee, escape_drop: 0.25",
            "escape_drop 0.25 is unreachable: saddle loss 0, lowest loss -0.25",
        ),
        (
            "use: strict_saddle_quartic, n: 4, escape_drop: 1",
            "escape_drop 1 is unreachable: saddle loss 0, lowest loss -1",
        ),
        (
            "use: matrix_factorization, escape_drop: 100",
            "saddle loss 15, lowest loss 2.5",
        ),
        (
            "use: tensor_decomposition, escape_drop: 50",
            "saddle loss 3, lowest loss 0",
        ),
        (
            "use: linear_autoencoder, n_inputs: 2, n_hidden: 1, variances: [2, 1], escape_drop: 1",
            "saddle loss 1.5, lowest loss 0.5",
        ),
    ],
)
def test_an_unreachable_escape_is_refused(
    tmp_path: Path, problem: str, fall: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"problems: [{{{problem}, label: deep}}]\noptimizers: [sfn]\n")
    with pytest.raises(SuiteError, match=re.escape(fall)):
        plan(load_suite(path))


@pytest.mark.parametrize(
    ("n", "coupling"), [(2, 0.3), (3, 0.3), (5, -0.2), (4, -0.5), (3, 1.5)]
)
def test_the_quartic_is_never_below_its_bound(n: int, coupling: float) -> None:
    problem = registry.build(
        "problem", "strict_saddle_quartic", {"n": n, "coupling": coupling}
    )
    x = torch.randn(
        1000,
        n,
        generator=torch.Generator().manual_seed(n),
        dtype=torch.float64,
        requires_grad=True,
    )
    optimizer = torch.optim.LBFGS([x], max_iter=300)

    def total() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.func.vmap(lambda t: problem.loss(t, None))(x).sum()
        loss.backward()
        return loss

    optimizer.step(total)
    found = min(float(problem.loss(t, None)) for t in x.detach())
    assert problem.lowest <= found + 1e-9
    if n % 2 == 0 or coupling < 0:
        assert found == pytest.approx(problem.lowest)


def test_tuning_by_the_escape_needs_a_saddle(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "problems: [{use: mlp, hidden: [3]}, lee]\noptimizers: [{use: msgd, lr: "
        "{uniform: [0.1, 1]}}]\n"
        "tune: {metric: escape_cost}\n"
    )
    with pytest.raises(
        SuiteError,
        match="mlp cannot be tuned by escape_cost: it has no saddle to escape from",
    ):
        plan(load_suite(path))
    assert plan(load_suite(path), problems=["lee"])
    assert plan(load_suite(path), optimizers=["sfn"])  # nothing of it is tuned
