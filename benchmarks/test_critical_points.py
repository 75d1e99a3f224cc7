"""What critical points cost: the index of a Hessian by inertia, and searches batched over starts.

One thread, float64.
"""

import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh
from side_by_side import seconds
from threadpoolctl import threadpool_limits

from sfnbench.experiments.critical_points.search import search
from sfnbench.finders.levenberg_marquardt import LevenbergMarquardt
from sfnbench.linalg.inertia import count_below
from sfnbench.problems.linear_autoencoder import LinearAutoencoder
from sfnbench.problems.mlp import MultilayerPerceptron


def test_the_index_of_2785_parameters_is_4_times_faster_by_inertia():
    """The Hessian of 64-37-10 on digits, at a start.

    Against LAPACK's eigenvalues, with and without a threshold.
    """
    # this network has 75 * 37 + 10 parameters
    mlp = MultilayerPerceptron(dataset="digits", hidden=(37,), n_examples=500)
    assert mlp.dim == 2785
    H = mlp.hessian(mlp.start(torch.Generator().manual_seed(0)), None).numpy()
    eigenvalues = eigvalsh(H)
    threshold = -1e-6 * np.abs(eigenvalues).max()
    assert count_below(H, threshold) == (eigenvalues < threshold).sum()
    with threadpool_limits(1):
        inertia_s, eigvalsh_s = seconds(
            lambda: count_below(H, threshold), lambda: eigvalsh(H), rounds=3
        )
    print(
        f"\nindex at n = 2785: inertia {inertia_s:.2f} s, scipy.linalg.eigvalsh {eigvalsh_s:.2f} s"
    )
    assert eigvalsh_s >= 4 * inertia_s


@pytest.mark.parametrize(
    ("dim", "n_starts", "factor"), [(20, 64, 5.0), (100, 16, 1.5)]
)
def test_starts_searched_in_a_batch_are_faster_than_one_by_one(
    dim, n_starts, factor
):
    """Twelve steps of Levenberg-Marquardt on a linear autoencoder, its Hessian by products.

    The same ends either way.
    """
    problem = LinearAutoencoder(n_inputs=dim // 4, n_hidden=2)
    assert problem.dim == dim
    rng = torch.Generator().manual_seed(0)
    starts = (
        1.4 * torch.rand(n_starts, dim, generator=rng, dtype=torch.float64) - 0.7
    )
    finder = LevenbergMarquardt(steps=12)

    def together():
        return search(problem, finder, starts, batched=True).grad

    def singly():
        return torch.cat(
            [
                search(problem, finder, start[None], batched=False).grad
                for start in starts
            ]
        )

    one_step = LevenbergMarquardt(steps=1)
    batch, single = (
        search(problem, one_step, starts[:4], batched=batched).theta
        for batched in (True, False)
    )
    torch.testing.assert_close(batch, single, rtol=1e-9, atol=1e-12)
    batch_s, single_s = seconds(together, singly, rounds=3)
    print(
        f"\nd = {dim}: {n_starts} starts in a batch {batch_s:.2f} s, one by one "
        f"{single_s / batch_s:.1f} times that"
    )
    assert single_s >= factor * batch_s
