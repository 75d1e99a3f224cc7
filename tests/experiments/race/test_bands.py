"""Bands and the axes that show them, by numbers written by hand."""

import math

import numpy as np
import pytest

from sfnbench.experiments.race.bands import Band, quantiles, window

INF = math.inf


def band(middle, high=None):
    middle, high = np.array(middle), np.array(middle if high is None else high)
    return Band({}, middle, middle, high)


def spread(values):
    return quantiles(np.array(values)[:, None])[:, 0].tolist()


def test_quantiles_are_the_medians_of_the_tables():
    assert spread([3.0, 1.0]) == [1, 2, 3]
    assert spread([3.0, INF, 1.0, 5.0]) == [1, 4, INF]
    six = [1.0, 2.0, 3.0, 4.0, 5.0, math.nan]
    assert spread(six) == [2, 3.5, 5]  # from six seeds on it is their middle half


def test_a_band_far_above_the_typical_one_is_off_the_scale():
    calm, wild, half = (
        band([2.0, 1.0, 0.1]),
        band([2.0, 1e9, INF]),
        band([2.0, 1.0, 0.5], [2.0, 1e9, INF]),
    )
    found = window({"calm": calm, "wild": wild, "half": half}, "loss")
    assert (found.is_log, found.off_scale) == (True, ["wild", "half"])
    assert found.range[0] < 0.1 < 2.0 < found.range[1] < 10
    cut = found.cut(wild).middle
    assert cut[0] == 2.0
    assert found.range[1] < 10 < cut[1] < 1e9
    assert cut[2] == INF
    assert found.cut(calm).middle.tolist() == calm.middle.tolist()


def test_bands_that_stay_are_shown_whole():
    calm = band([2.0, 1.0])
    found = window({"a": calm, "b": calm}, "loss")
    assert (found.is_log, found.off_scale, found.range) == (True, [], None)
    assert found.cut(calm) is calm


def test_what_goes_below_zero_has_no_logarithm():
    bands = {
        "a": band([-1.0, -0.5]),
        "b": band([-1.0, 1e6]),
        "c": band([-2.0, 0.5]),
    }
    found = window(bands, "min_eigenvalue")
    assert (found.is_log, found.off_scale) == (False, ["b"])
    assert -3 < found.range[0] < -2 < 0.5 < found.range[1] < 1
    assert not window({"a": band([0.0, 1.0])}, "loss").is_log


@pytest.mark.parametrize("middle", [[0.0, 0.0], [INF, INF]])
def test_where_all_are_zero_or_infinite_nothing_is_off_the_scale(middle):
    assert (
        window({"a": band(middle), "b": band(middle)}, "gradient_norm").off_scale
        == []
    )
