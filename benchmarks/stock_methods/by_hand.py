"""Classes like torch.optim's on a plain module of torch, as one writes a training loop by hand."""

import contextlib
import importlib

import torch
from torch.nn import functional

from sfnbench.datasets import load
from sfnbench.problems.mlp import MultilayerPerceptron
from sfnbench.trajectories.chance import reseed

PROBLEM = MultilayerPerceptron(size=4, n_examples=100, hidden=(4,))
N_STEPS = 20
CPU = torch.device("cpu")

SGD = {"use": "torch.optim.SGD", "lr": 0.1}
ADAMW_FOR_VECTORS = {"groups": {"vectors": {"use": "torch.optim.AdamW"}}}
FLAGGED = {
    "groups": {"matrices": {"use_muon": True}, "vectors": {"use_muon": False}}
}
WRAPPERS = (
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
MUONS = ("AdaGO", "AdaMuon", "DistributedMuon", "Muon", "MuonClip", "NorMuon")
PACKAGE = "pytorch_optimizer"
ENTRIES = {  # what a class cannot do without
    "torch.optim.Muon": ADAMW_FOR_VECTORS,
    f"{PACKAGE}.SpectralSphere": ADAMW_FOR_VECTORS,
    f"{PACKAGE}.BSAM": {"num_data": 100},
    f"{PACKAGE}.Ranger21": {"num_iterations": N_STEPS},
    **{f"{PACKAGE}.{name}": FLAGGED for name in MUONS},
    **{f"{PACKAGE}.{name}": {"base": SGD} for name in WRAPPERS},
}
DTYPES = {f"{PACKAGE}.FAdam": "float32"}  # it mixes in numbers of that dtype alone
GRAPH = ("AdaHessian", "SophiaH")
GRADIENT_FIRST = ("BSAM", "FriendlySAM", "LookSAM", "SAM")
CLOSURE = ("AliG", "LBFGS", "WSAM")


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
