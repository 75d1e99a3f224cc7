"""Problems of the field: levels, indices and laws that theory knows, beyond their defaults."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from sfnbench.core.oracle import Oracle
from sfnbench.members import contract, registry
from sfnbench.metrics.certificate import certify
from sfnbench.optimizers.sfn import SaddleFreeNewton

CLASSES = {
    name: registry.load(registry.find("problem", name))
    for name in (
        "attention_recall",
        "committee_machine",
        "deep_linear",
        "linear_attention",
        "matrix_sensing",
        "phase_retrieval",
        "scalar_chain",
    )
}
VARIANTS = [
    ("attention_recall", {"n_keys": 3, "width": 2}),
    ("committee_machine", {"n_hidden": 3, "n_inputs": 6}),
    ("committee_machine", {"n_hidden": 4, "n_inputs": 4}),
    ("committee_machine", {"start_at": "zero"}),
    ("deep_linear", {"layers": 2}),
    ("deep_linear", {"layers": 2, "saddle_at": (2,)}),
    ("deep_linear", {"layers": 4, "saddle_at": (0,)}),
    ("deep_linear", {"layers": 4, "strict": True}),
    ("linear_attention", {"heads": "merged"}),
    ("linear_attention", {"spare": 0.5}),
    ("linear_attention", {"saddle_at": (3, 2)}),
    ("linear_attention", {"saddle_at": (0,), "n_heads": 2}),
    ("phase_retrieval", {"n": 4, "n_measurements": 40}),
    ("scalar_chain", {"layers": 2}),
    ("scalar_chain", {"layers": 5, "target": 2.0}),
]


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@pytest.mark.parametrize(
    "check", contract.PROBLEM_CHECKS, ids=lambda check: check.__name__
)
def test_variants_keep_the_contract(name, params, check):
    check(CLASSES[name](**params))


def flow(problem, start, t_end, below):
    """When the gradient flow from a start brings the loss below a level."""
    gradient = torch.func.grad(lambda t: problem.loss(t, None))

    def level(t, x):
        return float(problem.loss(torch.from_numpy(x), None)) - below

    level.terminal = True
    found = solve_ivp(
        lambda t, x: -gradient(torch.from_numpy(x)).numpy(),
        (0, t_end),
        start.numpy(),
        events=level,
        rtol=1e-8,
        atol=1e-12,
        method="LSODA",
    )
    return found.t_events[0][0]


def descent_order(problem, curve):
    """p, where the loss falls from the saddle as the p-th power along a curve."""
    falls = [
        problem.saddle.loss - float(problem.loss(curve(t), None))
        for t in (0.02, 0.01)
    ]
    return math.log2(falls[0] / falls[1])


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_the_chain_falls_as_its_order_says_and_sfn_steps_by_the_law(layers):
    problem = CLASSES["scalar_chain"](layers=layers)
    ones = torch.ones(layers, dtype=torch.float64)
    assert descent_order(problem, lambda t: t * ones) == pytest.approx(
        layers, rel=1e-2
    )
    start = 1e-3 if layers < 5 else 1e-2
    w, n_steps = start * ones, 0
    while w[0] < 0.1:
        w, _ = SaddleFreeNewton(damping=0.0).step(Oracle(problem), w, ())
        n_steps += 1
    assert n_steps == math.ceil(problem.n_steps_of_sfn(start, 0.1))


def test_an_absolute_damping_undoes_the_escape_from_an_order_that_is_high():
    problem = CLASSES["scalar_chain"](layers=5)
    w = torch.full((5,), 1e-2, dtype=torch.float64)
    free, _ = SaddleFreeNewton(damping=0.0).step(Oracle(problem), w, ())
    held, _ = SaddleFreeNewton(damping=1e-4).step(Oracle(problem), w, ())
    assert float(free[0] / w[0]) == pytest.approx(5 / 4, rel=1e-6)
    # (L - 1) eps^3 beside the damping: the rate is eps^3 / (4 eps^3 + 1e-4)
    assert float(held[0] / w[0]) - 1 == pytest.approx(
        1e-6 / (4e-6 + 1e-4), rel=1e-6
    )


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_a_balanced_mode_takes_the_time_that_is_known(layers):
    problem = CLASSES["deep_linear"](singular_values=(2.0,), layers=layers)
    w, end = 0.2, 1.0
    start = torch.full((layers,), w, dtype=torch.float64)
    found = flow(problem, start, 100, (2 - end) ** 2 / 2)
    assert problem.time(w**layers, end, 2.0) == pytest.approx(found, rel=1e-5)


def test_long_plateaus_grow_as_the_order_of_the_saddle():
    time = CLASSES["deep_linear"](layers=4).time
    assert time(1e-8, 0.5, 1.0) / time(1e-4, 0.5, 1.0) == pytest.approx(
        100, rel=0.02
    )
    for eps, known in ((0.1, 9.2), (0.03, 32.5), (0.01, 99.2)):
        cubic = CLASSES["deep_linear"](layers=3).time(eps**3, 0.5, 1.0)
        assert cubic == pytest.approx(known, abs=0.06)


@pytest.mark.parametrize("layers", [2, 3])
def test_turning_between_layers_makes_no_deep_linear_minimum_degenerate(layers):
    problem = CLASSES["deep_linear"](layers=layers)
    G = torch.eye(3).double() + 0.1 * torch.randn(
        3, 3, generator=torch.Generator().manual_seed(0)
    )
    known = problem.critical_points[-1]
    assert known.n_zero == problem.n_zero_modes == (layers - 1) * 9
    W = known.point.view(layers, 3, 3).clone()
    W[0], W[1] = G @ W[0], W[1] @ torch.linalg.inv(G)
    for point in (known.point, W.ravel()):
        assert certify(problem, point).end_point == "minimum"
    # a plateau of order L is no strict one
    kinds = {2: "min-max saddle", 3: "degenerate"}
    origin = problem.critical_points[0].point
    assert certify(problem, origin).end_point == kinds[layers]
    if layers > 2:
        strict = problem.strict_saddle.point
        assert certify(problem, strict).end_point == "min-max saddle"


def test_two_points_of_equal_loss_one_strict_and_one_not():
    origin, strict, *_ = CLASSES["deep_linear"]().critical_points
    assert (origin.loss, strict.loss) == (7, 7)
    assert (origin.index, strict.index) == (0, 9)
    L = torch.linalg.eigvalsh(CLASSES["deep_linear"]().hessian(strict.point, None))
    assert L[:9].numpy() == pytest.approx([-3] * 3 + [-2] * 3 + [-1] * 3)


@pytest.mark.parametrize("name", ["deep_linear", "linear_attention"])
def test_saddles_of_order_three_fall_as_the_third_power(name):
    problem = CLASSES[name]()
    along = torch.zeros(problem.dim, dtype=torch.float64)
    if name == "deep_linear":
        along[::9] = 1  # the strongest mode of every layer
    else:
        along[0] = along[8] = along[28] = (
            1  # v, k and q of the first head, fourth place
        )
    order = descent_order(problem, lambda t: problem.saddle.point + t * along)
    assert order == pytest.approx(problem.saddle_order, rel=1e-2)


def test_prompts_at_random_have_the_exact_loss():
    problem = CLASSES["linear_attention"]()
    rng = torch.Generator().manual_seed(0)
    theta = 0.5 * torch.randn(problem.dim, generator=rng, dtype=torch.float64)
    n, N, D = 40_000, problem.n_context, 4
    scale = torch.tensor(problem.eigenvalues, dtype=torch.float64).sqrt()
    w = torch.randn(n, D, generator=rng, dtype=torch.float64)
    b = torch.zeros(n, D, dtype=torch.float64)
    for _ in range(N):
        x = scale * torch.randn(n, D, generator=rng, dtype=torch.float64)
        b += (x * w).sum(1, keepdim=True) * x / N
    x = scale * torch.randn(n, D, generator=rng, dtype=torch.float64)
    squares = ((b @ problem.attention(theta) * x).sum(1) - (x * w).sum(1)).square()
    error = float(squares.std()) / math.sqrt(n)
    assert float(squares.mean()) == pytest.approx(
        float(problem.loss(theta, None)), abs=4 * error
    )


def test_the_plateaus_of_linear_attention():
    problem = CLASSES["linear_attention"]()
    plateaus = [
        problem.critical_point(tuple(range(r, 4))).loss for r in (4, 3, 2, 1, 0)
    ]
    known = [1, 0.639437, 0.375216, 0.206795, 0.132377]
    assert plateaus == pytest.approx(known, abs=1e-6)
    assert problem.lowest == pytest.approx(plateaus[-1])
    white = CLASSES["linear_attention"](eigenvalues=(0.25,) * 4, heads="merged")
    assert white.lowest == pytest.approx(0.135135, abs=1e-6)


def test_a_merged_head_grows_at_the_known_rate():
    problem = CLASSES["linear_attention"](heads="merged")
    L = torch.linalg.eigvalsh(problem.hessian(problem.saddle.point, None))
    rate = 2 * math.sqrt(sum(lam**4 for lam in problem.eigenvalues))
    assert L[:5].numpy() == pytest.approx([-rate] * 5)
    assert L[-5:].numpy() == pytest.approx([rate] * 5)


def test_a_separate_head_takes_one_over_its_size():
    """v = |k| = |q| = s on one component: half of its drop by about 1 / (2 l^2 s) - O(1)."""
    problem = CLASSES["linear_attention"](
        eigenvalues=(1.0,), n_context=10**9, n_heads=1
    )
    times = [
        flow(problem, torch.full((3,), s, dtype=torch.float64), 1e4, 0.5)
        for s in (0.03, 0.01)
    ]
    law = 1 / (2 * 0.01) - 1 / (2 * 0.03)
    assert times[1] - times[0] == pytest.approx(law, rel=1e-3)


@pytest.mark.parametrize("n_hidden", [2, 3])
def test_inputs_at_random_have_the_committees_exact_loss(n_hidden):
    problem = CLASSES["committee_machine"](n_hidden=n_hidden, n_inputs=4)
    rng = torch.Generator().manual_seed(n_hidden)
    J = torch.randn(n_hidden, 4, generator=rng, dtype=torch.float64)
    x = torch.randn(100_000, 4, generator=rng, dtype=torch.float64)

    def units(weights):
        return torch.erf(x @ weights.mT / math.sqrt(2)).sum(1)

    teacher = torch.eye(n_hidden, 4, dtype=torch.float64)
    losses = (units(J) - units(teacher)).square() / 2
    error = float(losses.std()) / math.sqrt(len(x))
    assert float(losses.mean()) == pytest.approx(
        float(problem.loss(J.ravel(), None)), abs=4 * error
    )


@pytest.mark.parametrize(
    ("n_hidden", "loss", "lowest"),
    [
        (2, 0.0116108, -0.06575),
        (3, 0.0202966, -0.046118),
        (4, 0.0283773, -0.035647),
    ],
)
def test_the_plateau_of_the_committee(n_hidden, loss, lowest):
    problem = CLASSES["committee_machine"](n_hidden=n_hidden, n_inputs=5)
    saddle = problem.saddle
    assert saddle.loss == pytest.approx(loss, abs=1e-6)
    L = torch.linalg.eigvalsh(problem.hessian(saddle.point, None))
    n = (n_hidden - 1) ** 2
    assert L[:n].numpy() == pytest.approx([lowest] * n, abs=1e-6)


def test_the_committee_stays_for_the_logarithm_of_the_distance():
    problem = CLASSES["committee_machine"]()
    saddle = problem.saddle
    L, Q = torch.linalg.eigh(problem.hessian(saddle.point, None))
    times = [
        flow(problem, saddle.point + eps * Q[:, 0], 400, saddle.loss / 2)
        for eps in (1e-2, 1e-4)
    ]
    assert times[1] - times[0] == pytest.approx(
        math.log(100) / -float(L[0]), rel=0.02
    )


def test_the_sensing_saddle_falls_along_its_parabola_alone():
    problem = CLASSES["matrix_sensing"]()

    def parabola(x):
        y = 1 / math.sqrt(2) - math.sqrt(2) * x**2
        return torch.tensor([x, y], dtype=torch.float64)

    # the loss is 3/4 - 3 x^4 + O(x^6) there
    for x in (0.05, 0.02):
        fall = problem.saddle.loss - float(problem.loss(parabola(x), None))
        assert fall / x**4 == pytest.approx(3, rel=10 * x**2)
    straight = torch.tensor([0.05, 1 / math.sqrt(2)], dtype=torch.float64)
    assert problem.loss(straight, None) > problem.saddle.loss


def test_the_sensing_measurements_are_at_the_sharp_bound():
    """f = sum <A_i, M>^2 keeps |M|_F^2 within 1 +- 1/2 on all symmetric matrices."""
    # f's quartic part as a quadratic form in M = (m11, m22, sqrt 2 m12)
    form = np.array([[1, 0.5, 0], [0.5, 0.25 + 0.75, 0], [0, 0, 3 / 2]])
    assert np.linalg.eigvalsh(form) == pytest.approx([0.5, 1.5, 1.5])


def test_phase_retrieval_over_a_large_sample_is_that_over_all():
    whole = CLASSES["phase_retrieval"](n=3)
    sample = CLASSES["phase_retrieval"](n=3, n_measurements=200_000)
    x = torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64)
    assert float(sample.loss(x, None)) == pytest.approx(
        float(whole.loss(x, None)), rel=0.03
    )
    H = whole.hessian(whole.saddle.point, None)
    assert torch.linalg.eigvalsh(H).numpy() == pytest.approx([-2, 0, 2], abs=1e-12)


def test_recall_has_its_plateau_and_eigenvalues():
    problem = CLASSES["attention_recall"](n_classes=3, n_keys=4, width=2)
    saddle = problem.saddle
    H = problem.hessian(saddle.point, None)
    L = torch.linalg.eigvalsh(H)
    n = saddle.index
    # by theory +-sigma_i of df / d(W_Q^T W_K), `width` times each
    scores = torch.zeros(4, 4, dtype=torch.float64)
    W, labels = problem.tensors(saddle.point)["W"], problem.labels(saddle.point)

    def fit(S):
        logits = torch.softmax(S, 1) @ labels @ W.mT
        return (torch.logsumexp(logits, -1) - (logits * labels).sum(-1)).mean()

    sigma = torch.linalg.svdvals(torch.func.grad(fit)(scores))
    expected = sorted(-s for s in sigma.tolist() for _ in range(2))[:n]
    assert L[:n].numpy() == pytest.approx(expected, rel=1e-8)
    default = CLASSES["attention_recall"]().saddle
    assert default.loss == pytest.approx(0.889377, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        (
            "scalar_chain",
            {"escape_drop": 0.6},
            r"escape_drop must be below target\^2",
        ),
        (
            "deep_linear",
            {"singular_values": (1.0, 2.0)},
            "singular_values must fall",
        ),
        ("deep_linear", {"saddle_at": (3,)}, "saddle_at must be different places"),
        ("deep_linear", {"layers": 2, "strict": True}, "strict needs layers > 2"),
        (
            "matrix_sensing",
            {"escape_drop": 1.0},
            r"escape_drop must be below 0\.75",
        ),
        (
            "committee_machine",
            {"n_inputs": 1},
            "n_inputs must be at least n_hidden",
        ),
        ("attention_recall", {"n_keys": 20}, r"n_classes\^n_keys must be at most"),
        (
            "phase_retrieval",
            {"n_measurements": 3},
            "n_measurements must be at least",
        ),
        ("linear_attention", {"eigenvalues": ()}, "eigenvalues must be positive"),
        (
            "linear_attention",
            {"saddle_at": (4,)},
            "saddle_at must be different places",
        ),
        ("linear_attention", {"saddle_at": (0, 1), "n_heads": 1}, "n_heads is 1"),
        ("linear_attention", {"heads": "merged", "spare": 1.0}, "starts at zero"),
    ],
)
def test_misuse(name, params, message):
    with pytest.raises(ValueError, match=message):
        CLASSES[name](**params)


def test_subsets_are_complete():
    for name, n in (("deep_linear", 3), ("linear_attention", 4)):
        points = CLASSES[name]().critical_points
        losses = {round(point.loss, 9) for point in points}
        assert len(losses) == len(
            {
                round(CLASSES[name]().critical_point(subset).loss, 9)
                for m in range(n + 1)
                for subset in itertools.combinations(range(n), m)
            }
        )
