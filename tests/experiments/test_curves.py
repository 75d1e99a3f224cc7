"""Series as flat columns."""

import numpy as np

from sfnbench.experiments.curves import curves
from sfnbench.records import Result, Run, Spec

NAN = np.nan


def result(series, experiment="race", seeds=(3, 5)):
    run = Run(
        "s", experiment, Spec("p", "P", {}, ""), Spec("o", "O", {}, ""), seeds, {}
    )
    rows = tuple({"seed": seed} for seed in seeds)
    return Result(
        run, "ok", rows, {k: np.array(v, float) for k, v in series.items()}
    )


def test_a_metric_stands_at_the_steps_that_it_was_measured_at():
    series = {
        "loss": [[4, 1], [9, NAN]],
        "loss.step": [[0, 2], [0, NAN]],
        "seconds": [[0, 0.1, 0.2], [0, 0.3, NAN]],
        "theta.0": [[7, 8, 9]],  # of the first seed alone
        "landscape": [[1, 2], [3, 4]],
    }
    found = curves([result(series)])
    assert found["seed"] == [3, 3, 3, 5, 5]
    assert found["step"] == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(found["loss"], [4, NAN, 1, 9, NAN])
    np.testing.assert_array_equal(found["theta.0"], [7, 8, 9, NAN, NAN])
    assert "landscape" not in found


def test_results_of_several_kinds_share_their_columns():
    search = result({"eigenvalues": [[1, 2]]}, "critical_points", seeds=(0,))
    found = curves([result({"seconds": [[0, 1], [0, 1]]}), search])
    np.testing.assert_array_equal(found["eigenvalues"], [NAN] * 4 + [1, 2])
    assert {len(each) for each in found.values()} == {6}
    assert found["place"][4:] == [0, 1]


def test_a_run_that_broke_has_no_curves():
    assert curves([result({})]) == {}
