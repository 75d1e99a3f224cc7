"""One optimizer until it stalls, then another.

The moment, the point, the memory, and what a suite may say of it.
"""

import numpy as np
import pytest
import yaml

from sfnbench import load_suite, plan
from sfnbench.errors import SuiteError
from sfnbench.members import identity
from sfnbench.optimizers.gradient_descent import GradientDescent
from sfnbench.optimizers.switch import Switch
from sfnbench.session.execute import execute

MLP = {"size": 4, "n_examples": 60, "hidden": [3]}
FIRST = {"use": "msgd", "lr": 0.05, "momentum": 0.5, "batch_size": 20}


def test_it_switches_where_the_loss_has_stalled_and_says_when(make_run):
    """Gradient descent on x^2/2 - nothing to gain after a while.

    Loss L 0.81^t, so windows of 10 gain 1 - 0.81^10.
    """
    bowl = {"eigenvalues": [1.0, 1e-9], "start_at": [1.0, 0.0], "escape_drop": 1.0}
    first = {"use": "gradient_descent", "lr": 0.1}
    gains = 1 - 0.81**10
    for gain, switch_step in ((gains + 1e-6, 20), (gains - 1e-6, None)):
        params = {
            "first": first,
            "then": "gradient_descent",
            "gain": gain,
            "window": 10,
        }
        result = execute(
            make_run("quadratic_saddle", bowl, "switch", params, seeds=1, steps=35)
        )
        (row,) = result.rows
        if switch_step is None:
            assert np.isnan(row["switch_step"])
        else:
            assert row["switch_step"] == switch_step
            assert np.isnan(result.series["switch_step"][0, 1:switch_step]).all()
            assert (
                result.series["switch_step"][0, switch_step:] == switch_step
            ).all()
        np.testing.assert_allclose(
            result.series["loss"][0, :20], 0.5 * 0.81 ** np.arange(20), rtol=1e-12
        )


def test_all_who_switch_from_the_same_do_so_at_the_same_point(make_run):
    seconds = (
        {"use": "krylov_sfn", "k": 5},
        {"use": "krylov_sfn", "k": 5, "batch_size": 40, "curvature_batch_size": 10},
        {"use": "msgd", "lr": 0.01, "batch_size": 20},
    )
    settled = {"first": FIRST, "gain": 0.02, "window": 10}
    own = {key: value for key, value in FIRST.items() if key != "use"}
    for seed in range(2):
        alone = execute(
            make_run("mlp", MLP, "msgd", own, seeds=[seed], steps=80)
        ).series["loss"][0]
        moments = set()
        for then in seconds:
            result = execute(
                make_run(
                    "mlp",
                    MLP,
                    "switch",
                    {**settled, "then": then},
                    seeds=[seed],
                    steps=80,
                )
            )
            moment = int(result.rows[0]["switch_step"])
            assert 20 <= moment < 75
            np.testing.assert_array_equal(
                result.series["loss"][0, : moment + 1], alone[: moment + 1]
            )
            assert result.series["loss"][0, moment + 1] != alone[moment + 1]
            moments.add(moment)
        assert len(moments) == 1


def test_what_follows_is_what_the_second_does_from_there():
    switch = Switch(
        first=GradientDescent(lr=0.1), then=GradientDescent(lr=0.2, batch_size=7)
    )
    assert switch.batch_sizes == (None, 7)


def suite(tmp_path, entry):
    path = tmp_path / "s.yaml"
    path.write_text(
        yaml.safe_dump({"problems": [{"use": "mlp", **MLP}], "optimizers": [entry]})
    )
    return path


def test_entries_of_a_suite_are_completed(tmp_path):
    entry = {
        "use": "switch",
        "first": FIRST,
        "then": "krylov_sfn",
        "label": "then Krylov",
    }
    (run,) = plan(load_suite(suite(tmp_path, entry)))
    assert run.method.params["then"] == {
        "use": "krylov_sfn",
        **run.method.params["then"],
    }
    assert run.method.params["then"]["inner_steps"] == 1
    assert run.method.params["first"]["nesterov"] is False


def test_the_run_s_id_follows_the_sources_of_both(tmp_path, monkeypatch):
    entry = {
        "use": "switch",
        "first": "noisy_gradient_descent",
        "then": "gradient_descent",
    }
    (before,) = plan(load_suite(suite(tmp_path, entry)))
    real = identity._file_digest
    monkeypatch.setattr(
        identity,
        "_file_digest",
        lambda file: (
            real(file) + ("x" if file.stem == "noisy_gradient_descent" else "")
        ),
    )
    (after,) = plan(load_suite(suite(tmp_path, entry)))
    assert before.id != after.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"then": "krylov_snf"},
            r"then: unknown optimizer 'krylov_snf' \(did you mean 'krylov_sfn'\?\)",
        ),
        (
            {"then": {"use": "msgd", "lr": -1}},
            r"then: msgd: lr must be greater than 0, not -1",
        ),
        ({"then": {"use": "msgd", "lrr": 1}}, r"then: msgd: unknown key 'lrr'"),
        (
            {"first": {"lr": 1}},
            r"first: must be an optimizer's name, or a mapping with the key 'use'",
        ),
        (
            {"first": {"use": "torch.optim.Adam"}},
            r"first: must be one of sfnbench's own optimizers",
        ),
        ({"batch_size": 3}, r"batch_size belongs to first and then"),
        ({"gain": 1.0}, r"gain must be less than 1"),
        (
            {"then": {"use": "krylov_sfn", "batch_size": 61}},
            r"switch on mlp: a batch of 61 was asked for",
        ),
    ],
)
def test_misuse_is_said_before_anything_runs(tmp_path, change, message):
    with pytest.raises(SuiteError, match=message):
        plan(
            load_suite(
                suite(
                    tmp_path,
                    {
                        "use": "switch",
                        "first": FIRST,
                        "then": "krylov_sfn",
                        **change,
                    },
                )
            )
        )
