"""Every optimizer of torch.optim and of pytorch_optimizer, and every method of scipy: does it run?

    python -m benchmarks.stock_methods [PACKAGE] > docs/stock.md

Each is run by sfnbench and by hand, on a plain module of the same network, and in both ways with
other seeds beside it, in another order, and twice.
"""

import contextlib
import importlib
import inspect
import io
import sys
import warnings
from dataclasses import dataclass, fields

import numpy as np
import scipy.optimize
import torch
from torch.nn import functional

from sfnbench.datasets import load
from sfnbench.members.contract.shared import Waves
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.trajectories import scipy_stock, stock
from sfnbench.trajectories.chance import lent_generators, reseed

PACKAGES = ("torch.optim", "pytorch_optimizer", "scipy.optimize")
PROBLEM = MultilayerPerceptron(size=4, n_examples=100, hidden=(4,))
WAVES = Waves()  # scipy's methods have no use for tensors
N_STEPS, SEEDS = 20, (0, 1, 2)
CPU = torch.device("cpu")
CLOSE = 1e-7  # of the largest parameter: rounding, after 20 steps

SGD = {"use": "torch.optim.SGD", "lr": 0.1}
ADAMW_FOR_VECTORS = {"groups": {"vectors": {"use": "torch.optim.AdamW"}}}
FLAGGED = {"groups": {"matrices": {"use_muon": True}, "vectors": {"use_muon": False}}}
ENTRIES = {  # what a class cannot do without
    "torch.optim.Muon": ADAMW_FOR_VECTORS,
    **{
        f"pytorch_optimizer.{name}": FLAGGED
        for name in (
            "AdaGO",
            "AdaMuon",
            "DistributedMuon",
            "Muon",
            "MuonClip",
            "NorMuon",
        )
    },
    "pytorch_optimizer.SpectralSphere": ADAMW_FOR_VECTORS,
    "pytorch_optimizer.BSAM": {"num_data": 100},
    "pytorch_optimizer.Ranger21": {"num_iterations": N_STEPS},
    **{
        f"pytorch_optimizer.{name}": {"base": SGD}
        for name in (
            "FriendlySAM",
            "GSAM",
            "Lookahead",
            "LookSAM",
            "OrthoGrad",
            "PCGrad",
            "SAM",
            "SafeFP16Optimizer",
            "ScheduleFreeWrapper",
            "TRAC",
            "WSAM",
        )
    },
}
DTYPES = {
    "pytorch_optimizer.FAdam": "float32"
}  # it mixes in numbers of that dtype alone
GRAPH = ("AdaHessian", "SophiaH")
GRADIENT_FIRST = ("BSAM", "FriendlySAM", "LookSAM", "SAM")
CLOSURE = ("AliG", "LBFGS", "WSAM")


class Enough(BaseException):
    """Ends a method of scipy from its callback."""


@dataclass
class Line:
    """What was found of one method; a text is the reason why not."""

    name: str
    constructed: bool | str = ""
    runs: bool | str = ""
    by_hand: bool | str = ""
    seeds: bool | str = ""
    repeats: bool | str = ""
    counts: bool | str = ""

    n_steps: int = N_STEPS  # after which it agreed with what it does by hand

    @property
    def cells(self) -> list[bool | str]:
        """The answers in their order."""
        return [getattr(self, each.name) for each in fields(self)[1:-1]]

    @property
    def reason(self) -> str:
        """Why it does not run, or where it differs."""
        return next((cell for cell in self.cells if isinstance(cell, str) and cell), "")

    @property
    def is_right(self) -> bool:
        """Whether everything is as it has to be."""
        return all(cell is True for cell in self.cells)


# -- by hand ---------------------------------------------------------------------------------------


def module(start: torch.Tensor) -> torch.nn.Module:
    """The same network of torch's own modules."""
    n_in, n_hidden, n_out = PROBLEM.widths
    net = torch.nn.Sequential(
        torch.nn.Linear(n_in, n_hidden),
        torch.nn.Tanh(),
        torch.nn.Linear(n_hidden, n_out),
    ).to(start.dtype)
    for parameter, tensor in zip(
        net.parameters(), PROBLEM.tensors(start).values(), strict=True
    ):
        parameter.data.copy_(tensor)
    return net


def construct(name: str, net: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """The optimizers as one writes them down who trains this module."""
    package, _, short = name.rpartition(".")
    cls = getattr(importlib.import_module(package), short)
    entry = ENTRIES.get(name, {})
    params = list(net.parameters())
    matrices, vectors = (
        [p for p in params if (p.dim() > 1) == flag] for flag in (True, False)
    )
    if entry is ADAMW_FOR_VECTORS:
        return [cls(matrices), torch.optim.AdamW(vectors)]
    if entry is FLAGGED:
        flagged = [(matrices, True), (vectors, False)]
        return [cls([{"params": each, "use_muon": flag} for each, flag in flagged])]
    if short == "WSAM":
        return [cls(net, params, torch.optim.SGD, lr=0.1)]
    if short in ("FriendlySAM", "LookSAM", "SAM"):
        return [cls(params, torch.optim.SGD, lr=0.1)]
    if "base" in entry:
        return [cls(torch.optim.SGD(params, lr=0.1))]
    if short == "AdamMini":
        return [cls(net)]
    return [cls(params, **entry)]


def by_hand(
    name: str, start: torch.Tensor, seed: int, n_steps: int
) -> tuple[torch.Tensor, list[int]]:
    """Theta after the steps, and how many gradients and products they took."""
    images = load(PROBLEM.dataset, size=PROBLEM.size, n_examples=PROBLEM.n_examples)
    x, y = (
        torch.from_numpy(images.x).flatten(1).to(start.dtype),
        torch.from_numpy(images.y).long(),
    )
    net, short, n_grads = module(start), name.rpartition(".")[2], 0
    reseed(seed, 0, CPU)
    optimizers = construct(name, net)

    @torch.enable_grad()
    def closure() -> torch.Tensor:
        nonlocal n_grads
        n_grads += 1
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = functional.cross_entropy(net(x), y)
        loss.backward(create_graph=short in GRAPH)
        return loss

    with _counted_products() as products:
        _call(optimizers, "train")
        for step in range(1, n_steps + 1):
            reseed(seed, step, CPU)
            if short not in CLOSURE:
                closure()
            for optimizer in optimizers:
                optimizer.step(
                    closure
                ) if short in CLOSURE + GRADIENT_FIRST else optimizer.step()
        _call(optimizers, "eval")
    theta = torch.empty_like(start)
    for tensor, parameter in zip(
        PROBLEM.tensors(theta).values(), net.parameters(), strict=True
    ):
        tensor.copy_(parameter.detach())
    return theta, [n_grads, len(products)]


def _call(optimizers, mode):
    for optimizer in optimizers:
        if callable(getattr(optimizer, mode, None)):
            getattr(optimizer, mode)()


@contextlib.contextmanager
def _counted_products():
    """Calls of torch.autograd.grad, which differentiate gradients here."""
    calls, own = [], torch.autograd.grad

    def counting(*args, **keywords):
        calls.append(1)
        return own(*args, **keywords)

    torch.autograd.grad = counting
    try:
        yield calls
    finally:
        torch.autograd.grad = own


# -- by sfnbench -----------------------------------------------------------------------------------


def by_sfnbench(
    name: str, starts: torch.Tensor, seeds, n_steps: int = N_STEPS
) -> tuple[torch.Tensor, np.ndarray]:
    """Thetas (S, d) after the steps, and the counts (S, 4) by kind."""
    trajectories = stock.lift_stock(PROBLEM, name, ENTRIES.get(name, {}), starts, seeds)
    for _ in range(n_steps):
        trajectories.step([(None,)] * len(starts), None)
    return trajectories.theta, trajectories.calls


def start_of(seed: int) -> torch.Tensor:
    """The start of a seed."""
    return PROBLEM.start(torch.Generator().manual_seed(seed))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """How far two points are from each other, in units of the largest parameter."""
    if not b.isfinite().all():
        return 0.0 if torch.equal(a.isfinite(), b.isfinite()) else np.inf
    return float((a - b).abs().max() / b.abs().max())


def agree(a: torch.Tensor, b: torch.Tensor) -> bool | str:
    """True where two points agree to rounding, else how far they are from each other."""
    far = distance(a, b)
    return far <= CLOSE or f"differs by {far:.1e} of its size"


def rounding_grows_until(name: str, start: torch.Tensor) -> int:
    """How many steps the method makes before it tells rounding from nothing, by hand.

    One that divides by what is nearly zero, or breaks off a line search, makes a large thing of it.
    """
    noise = torch.randn(len(start), generator=torch.Generator().manual_seed(1)).to(
        start
    )
    other = start * (1 + 8 * torch.finfo(start.dtype).eps * noise)
    for n_steps in (N_STEPS, 10, 5, 2):
        pair = [by_hand(name, each, SEEDS[0], n_steps)[0] for each in (start, other)]
        if distance(*pair) <= CLOSE / 10:
            return n_steps
    return 1


def line_of(name: str) -> Line:
    """Everything that is asked of one class."""
    line, dtype = Line(name), DTYPES.get(name, "float64")
    starts = torch.stack([start_of(seed) for seed in SEEDS]).to(getattr(torch, dtype))
    faults = stock.check(name, ENTRIES.get(name, {}), {"mlp": PROBLEM}, [dtype])
    line.constructed = faults[0].message if faults else True
    if faults:
        return line
    alone, calls = by_sfnbench(name, starts[:1], SEEDS[:1])
    line.runs = True
    line.n_steps = rounding_grows_until(name, starts[0])
    expected, _ = by_hand(name, starts[0], SEEDS[0], line.n_steps)
    after, _ = by_sfnbench(name, starts[:1], SEEDS[:1], line.n_steps)
    line.by_hand = agree(after[0], expected)
    _, counts = by_hand(name, starts[0], SEEDS[0], N_STEPS)
    line.counts = (
        calls[0, 1:3].tolist() == counts or f"{calls[0, 1:3].tolist()} for {counts}"
    )
    line.seeds = _independent(name, starts, dtype)
    torch.manual_seed(5)
    np.random.seed(5)
    again, _ = by_sfnbench(name, starts[:1], SEEDS[:1])
    line.repeats = (
        torch.equal(alone.nan_to_num(), again.nan_to_num()) or "twice is not the same"
    )
    return line


def _independent(name: str, starts: torch.Tensor, dtype: str) -> bool | str:
    """Whether each seed alone does what it does among others, in either order."""
    alone = [
        by_sfnbench(name, starts[i : i + 1], SEEDS[i : i + 1])[0][0] for i in range(3)
    ]
    entry = ENTRIES.get(name, {})
    if not stock.shares_batches(PROBLEM, name, entry, getattr(torch, dtype)):
        return True
    together = by_sfnbench(name, starts, SEEDS)[0]
    backwards = by_sfnbench(name, starts.flip(0), SEEDS[::-1])[0].flip(0)
    found = [
        agree(batch[i], alone[i]) for batch in (together, backwards) for i in range(3)
    ]
    return next((each for each in found if each is not True), True)


def scipy_line(method: str) -> Line:
    """Everything that is asked of one method of scipy."""
    name = f"scipy.optimize.{method}"
    line, start = Line(name), WAVES.start(torch.Generator().manual_seed(0))
    faults = stock.check(name, {}, {})
    line.constructed = faults[0].message if faults else True
    if faults:
        return line
    iterates, counts = _minimized(method, start)
    found, calls = _minimized_by_sfnbench(name, start, len(iterates))
    line.runs, line.seeds = True, True  # a thread of its own a seed
    pairs = zip(found, iterates, strict=False)
    line.by_hand = all(
        np.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in pairs
    ) and len(found) == len(iterates)
    line.by_hand = line.by_hand or "other iterates"
    line.counts = calls == counts or f"{calls} for {counts}"
    again, _ = _minimized_by_sfnbench(name, start, len(iterates))
    line.repeats = np.array_equal(found, again) or "twice is not the same"
    return line


def _minimized(method, start):
    """Iterates of scipy's own call, at most N_STEPS, and the questions asked until then."""
    counts = dict.fromkeys(("loss", "grad", "hvp", "hessian"), 0)
    gradient = torch.func.grad_and_value(lambda theta: WAVES.loss(theta, None))
    iterates = []

    def count(kind, answer):
        counts[kind] += 1
        return answer

    def both(x):
        grad, loss = gradient(torch.from_numpy(np.array(x)))
        return count("grad", (float(loss), grad.numpy()))

    def loss(x):
        return count("loss", float(WAVES.loss(torch.from_numpy(np.array(x)), None)))

    def hessian(x):
        H = torch.func.hessian(lambda theta: WAVES.loss(theta, None))
        return H(torch.from_numpy(np.array(x))).numpy()

    def keep(x, state=None):
        iterates.append(np.array(x))
        if len(iterates) == N_STEPS:
            raise Enough

    is_free = method in scipy_stock.GRADIENT_FREE
    extra = {} if is_free else {"jac": True}
    if method in scipy_stock.HESSIANS:
        extra["hess"] = lambda x: count("hessian", hessian(x))
    if method in scipy_stock.HESSIAN_PRODUCTS:
        extra["hessp"] = lambda x, v: count("hvp", hessian(x) @ v)
    options = {"maxfun" if method == "TNC" else "maxiter": 10**9}
    options |= dict.fromkeys(scipy_stock.TOLERANCES[method], scipy_stock.NEVER)
    with contextlib.suppress(Enough):
        scipy.optimize.minimize(
            loss if is_free else both, start.numpy(), method=method, callback=keep,
            options=options, **extra,
        )  # fmt: skip
    return iterates, list(counts.values())


def _minimized_by_sfnbench(name, start, n):
    trajectories = stock.lift_stock(WAVES, name, {}, start[None], (0,))
    found = []
    while len(found) < n and not trajectories.ended:
        trajectories.step([(None,)], None)
        if not trajectories.ended:
            found.append(trajectories.theta[0].numpy())
    if n < N_STEPS and not trajectories.ended:
        trajectories.step([(None,)], None)  # to its end
    trajectories.close()
    return found, trajectories.calls[0].tolist()


# -- the table -------------------------------------------------------------------------------------


def names_in(package: str) -> list[str]:
    """Every optimizer that a package offers."""
    if package == "scipy.optimize":
        return [f"{package}.{method}" for method in sorted(scipy_stock.METHODS)]
    module_ = importlib.import_module(package)
    return [
        f"{package}.{name}"
        for name, cls in sorted(vars(module_).items())
        if inspect.isclass(cls)
        and issubclass(cls, torch.optim.Optimizer)
        and cls is not torch.optim.Optimizer
    ]


def measured(package: str):
    """The lines of a package, one after another."""
    for name in names_in(package):
        is_scipy = package == "scipy.optimize"
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                with lent_generators(CPU):
                    line = (
                        scipy_line(name.removeprefix(f"{package}."))
                        if is_scipy
                        else line_of(name)
                    )
            except Exception as error:
                line = Line(
                    name, runs=f"{type(error).__name__}: {error}".splitlines()[0]
                )
        yield line


def written(line: Line) -> str:
    """A row of the table."""
    marks = ["yes" if cell is True else "no" if cell else "" for cell in line.cells]
    if line.n_steps < N_STEPS and line.by_hand is True:
        marks[2] = f"yes, {line.n_steps} steps"
    return "| " + " | ".join([f"`{line.name}`", *marks, line.reason]) + " |"


def main() -> None:
    """Print the table of the packages that were asked for, or of all."""
    torch.set_num_threads(1)
    names = [each.name.replace("_", " ") for each in fields(Line)[:-1]]
    for package in sys.argv[1:] or PACKAGES:
        print("\n| " + " | ".join([*names, "reason"]) + " |")
        print("|---" * (len(names) + 1) + "|")
        lines = []
        for line in measured(package):
            lines.append(line)
            print(written(line), flush=True)
        print(
            f"\n{package}: {sum(line.is_right for line in lines)} of {len(lines)} are right."
        )


if __name__ == "__main__":
    main()
