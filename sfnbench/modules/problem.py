"""A user's own module as a problem: any network with any criterion, for every optimizer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..core.constant import constant
from ..core.derivatives import linearise_eagerly
from ..core.network import Network
from ..core.problem import CriticalPoint
from ..errors import ModelError
from ..words import listed
from . import trial
from .checkpoint import load_checkpoint
from .data import Examples, arguments, batch_of, examples_of
from .kept_hessians import KeptHessians
from .weights import Weights, check_finite, copied, prepared

# Of a Hessian that end points have, several times: some 40 s on one core where it is made of
# convolutions in double precision, 10 s where it is made of matrix products.
MOST_HESSIAN_FLOPS = 1e11
LOSSES_A_PRODUCT = 6  # the cost of a Hessian-vector product
N_SEED = 2**31  # seeds of a module's own initialisation are below


class ModuleProblem(Network):
    """A module of torch as a problem: the mean criterion of its outputs, of its weights.

        L(theta) = mean_b criterion(model(x_b; theta), y_b) + 1/2 weight_decay |theta|^2

    `model` is a module, whose weights are then the start, or a function that makes one, whose own
    initialisation under the seed is. `criterion` takes outputs (n, ...) and targets, and is a mean
    over examples, or a sum, which is then divided by their number. For a model that returns several
    things, a loss that reads the weights or batches in a dict it takes the module and a batch; its
    first parameter is then named `model`, and there is no Gauss-Newton matrix. `data` is a pair
    (inputs, targets), a Dataset, or a DataLoader. `checkpoint` is a file with the weights to start
    from. `radius` is the distance of each seed's start from there, in a direction of its own. With
    a positive `escape_drop`, a trajectory has escaped once its loss is so far below that of the
    weights that it was to start from.

    theta (d,) holds the parameters that require gradients, in the order of `named_parameters`; tied
    ones once. Everything is computed in theta's dtype, on its device. The module, of which a copy
    is kept, is in eval mode: see `notes`. Cost of a loss: one call of the module on all examples.

    A subclass gives `make_model`, `make_criterion` and `make_data` instead. Raises ModelError where
    the loss is no function of the weights, or model, data, criterion or checkpoint do not fit.

    >>> x, y = torch.eye(3), torch.tensor([0, 1, 2])
    >>> problem = ModuleProblem(nn.Linear(3, 3), nn.CrossEntropyLoss(), (x, y), radius=1e-3)
    >>> problem.dim, list(problem.tensors(torch.zeros(12)))
    (12, ['weight', 'bias'])
    """

    checkpoint: str | Path | None = None
    radius: float = 0.0
    n_examples: int | None = None

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        criterion: Callable[[Tensor, Any], Tensor],
        data: Any,
        *,
        checkpoint: str | Path | None = None,
        radius: float = 0.0,
        escape_drop: float = 0.0,
        weight_decay: float = 0.0,
        n_examples: int | None = None,
    ) -> None:
        self._model, self._criterion_given, self._data = model, criterion, data
        self.checkpoint, self.radius = checkpoint, radius
        self.escape_drop, self.weight_decay = escape_drop, weight_decay
        self.n_examples = n_examples
        self.__post_init__()

    def __post_init__(self) -> None:
        """Try everything once, so that what does not fit is said before anything runs."""
        self.notes  # noqa: B018  # found by calling

    # -- what a subclass gives ---------------------------------------------------------------------

    def make_model(self) -> nn.Module:
        """The module; where a function makes it, in its own initialisation."""
        model = self._model
        return model if isinstance(model, nn.Module) else model()

    def make_criterion(self) -> Callable[[Tensor, Any], Tensor]:
        """The criterion () of outputs (n, ...) and targets, or of the module and a batch."""
        return self._criterion_given

    def make_data(self) -> Any:
        """A pair (inputs, targets), another batch of all examples, a Dataset or a DataLoader."""
        return self._data

    @property
    def has_weights(self) -> bool:
        """Whether a module was given, rather than a function that makes one."""
        return isinstance(self.__dict__.get("_model"), nn.Module)

    # -- a network ---------------------------------------------------------------------------------

    @functools.cached_property
    def knows_outputs(self) -> bool:  # type: ignore[override]
        """Whether the criterion takes outputs and targets, and not the module and a batch."""
        return not trial.takes_model(self._criterion)

    @functools.cached_property
    def weights(self) -> Weights:
        """The module's weights; a call of them gives outputs, or the loss of a batch."""
        model = self._built(0)
        if self.knows_outputs:
            return Weights(model)
        return Weights(model, functools.partial(self._criterion, model))

    @functools.cached_property
    def examples(self) -> Examples:
        """All examples, on the CPU."""
        return examples_of(
            self.make_data(), self.n_examples, in_pairs=self.knows_outputs
        )

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """What was found by trying: sentences about eval mode, the data and the criterion."""
        check_finite(self.weights.model)
        self._first_answers()
        notes = [*trial.remarks(self.weights.model), *self.examples.notes]
        notes += self._criterion_notes()
        if self.finest_dtype == torch.float32:
            notes.append(
                "the module makes tensors of float32 itself: only dtype float32 runs"
            )
        return tuple(notes)

    def _criterion_notes(self) -> Iterator[str]:
        """What calls on a part of the data say; ModelError where they say nothing."""
        theta, tried = self._tried()
        if self.knows_outputs:
            n = len(tried)
            z = trial.same_twice(
                lambda: trial.outputs_of(self._answers(theta, tried), n)
            )
            if trial.mixes_examples(
                lambda half: self._answers(theta, tried[half]), z
            ):
                yield "an example's outputs depend on the others of its batch: batch statistics"
        else:
            trial.same_twice(lambda: trial.loss_of(self._answers(theta, tried)))
        if self._sums is None:
            yield "the loss is no mean over examples: that of a minibatch is another one"
        elif self.is_sum:
            yield "the criterion sums over examples: it is divided by their number"
        trial.check_derivatives(lambda t: self.loss(t, tried), theta)

    @property
    def dim(self) -> int:
        """Number of parameters that require gradients."""
        return self.weights.dim

    @property
    def population(self) -> int:
        """Number of examples."""
        return self.examples.n

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """The module's parameters by their names."""
        return dict(zip(self.weights.names, self.weights.parts(theta), strict=True))

    @property
    def starts_at_weights(self) -> bool:
        """Whether starts are round the same weights: a checkpoint's, or the given module's."""
        return self.has_weights or self.checkpoint is not None

    def start(self, rng: torch.Generator) -> Tensor:
        """The given weights, or the module's own initialisation, `radius` away."""
        seed = int(torch.randint(N_SEED, (1,), generator=rng))
        theta = (
            self.weights.theta() if self.starts_at_weights else self._fresh(seed)
        )
        if not self.radius:
            return theta
        way = torch.randn(self.dim, generator=rng, dtype=torch.float64)
        return theta + self.radius * way / torch.linalg.vector_norm(way)

    @functools.cached_property
    def saddle(self) -> CriticalPoint | None:
        """The weights that starts are round, where a positive `escape_drop` asks for an escape."""
        if not (self.starts_at_weights and self.escape_drop):
            return None
        theta = self.weights.theta()
        # whether they are critical is for the certificate to say, and no race asks for the index
        return CriticalPoint(theta, float(self.loss(theta, None)), index=1)

    def loss(self, theta: Tensor, batch: Any) -> Tensor:
        """The mean loss () over the batch's examples, plus the weight decay's share."""
        if self.knows_outputs:
            return super().loss(theta, batch)
        found: Tensor = self._answers(theta, batch).reshape(())
        if self.is_sum:
            found = found / (self.population if batch is None else len(batch))
        if not self.weight_decay:
            return found
        return found + self.weight_decay / 2 * (theta @ theta)

    def outputs(self, theta: Tensor, batch: Tensor | None) -> Tensor:
        """The module's outputs (..., n) for the examples of a batch.

        ModelError where the loss is one of the module and a batch.
        """
        if not self.knows_outputs:
            raise ModelError(
                "a loss of model and batch has no outputs of its own: give a criterion of outputs "
                "and targets"
            )
        return self._answers(theta, batch).movedim(0, -1)

    def fit(self, z: Tensor, batch: Tensor | None) -> Tensor:
        """The mean criterion () of outputs z (..., n)."""
        targets = batch_of(self._placed(z)[1], batch)
        found = self._judge(z.movedim(-1, 0), targets).reshape(())
        return found / z.shape[-1] if self.is_sum else found

    @functools.cached_property
    def vmappable(self) -> bool:  # type: ignore[override]
        """Whether points run in one `torch.func.vmap`.

        Not if the module branches on values, nor if it has convolutions: vmap makes those of
        several points a grouped one, which takes up to twice as long as one by one.
        """
        if self._forward_cost.has_convolutions:
            return False
        theta, few = self._tried(2)

        def gradient(at: Tensor) -> Tensor:
            return torch.func.grad(lambda t: self.loss(t, few))(at)

        try:
            with torch.no_grad():
                torch.func.vmap(gradient)(torch.stack([theta, theta]))
                torch.func.vmap(torch.func.vjp(gradient, theta)[1])(theta[None])
        except RuntimeError:
            return False
        return True

    @functools.cached_property
    def has_cheap_hessian(self) -> bool:  # type: ignore[override]
        """Whether all of the Hessian takes at most `MOST_HESSIAN_FLOPS`."""
        cost, n_tried = self._forward_cost, min(self.population, trial.N_TRIED)
        loss = cost.flops / n_tried * self.population
        return self.dim * LOSSES_A_PRODUCT * loss <= MOST_HESSIAN_FLOPS

    def hessian(self, theta: Tensor, batch: Any) -> Tensor:
        """The Hessian (d, d), by products: one by one where points do not run in one vmap.

        That of all examples is taken once at each of the last points.
        """
        if batch is not None:
            return self._taken_hessian(theta, batch)
        return self.hessians.at(theta, lambda: self._taken_hessian(theta, None))

    @functools.cached_property
    def hessians(self) -> KeptHessians:
        """Those of the last points."""
        return KeptHessians()

    def _taken_hessian(self, theta: Tensor, batch: Any) -> Tensor:
        if self.vmappable:
            return super().hessian(theta, batch)
        product = linearise_eagerly(lambda t: self.loss(t, batch), theta).product
        identity = torch.eye(self.dim, dtype=theta.dtype, device=theta.device)
        rows = torch.stack([product(each) for each in identity])
        return (rows + rows.mT) / 2

    def curvature_notes(self) -> Iterator[str]:
        """What a product with the Hessian says; ModelError where torch has none."""
        theta, few = self._tried(2)
        trial.check_derivatives(lambda t: self.loss(t, few), theta, twice=True)
        rng = torch.Generator().manual_seed(0)
        way = torch.randn(self.dim, generator=rng, dtype=torch.float64).to(theta)
        way /= torch.linalg.vector_norm(way)
        is_fine = theta.dtype == torch.float64
        if is_fine and not trial.bends_as_it_says(
            lambda t: self.loss(t, few), theta, way
        ):
            yield (
                "products with the Hessian are not what gradients differ by: the loss has a kink "
                "here, or an autograd.Function without a second derivative"
            )

    # -- inside ------------------------------------------------------------------------------------

    def _tried(self, most: int = trial.N_TRIED) -> tuple[Tensor, Tensor]:
        """The module's weights (d,), and places of the examples of a trial."""
        theta = self.weights.theta().to(self.finest_dtype)
        return theta, torch.arange(min(most, self.population))

    @functools.cached_property
    def is_sum(self) -> bool:
        """Whether the criterion sums over examples."""
        return bool(self._sums)

    @functools.cached_property
    def _forward_cost(self) -> trial.ForwardCost:
        theta, tried = self._tried()
        return trial.forward_cost(lambda: self._answers(theta, tried))

    @functools.cached_property
    def _sums(self) -> bool | None:
        """Whether the criterion is a sum over examples, and no mean; None: it is neither."""
        theta, tried = self._tried()
        twice = torch.cat([tried, tried])
        if not self.knows_outputs:
            with torch.no_grad():
                losses = (self._answers(theta, places) for places in (tried, twice))
                return trial.is_sum(*losses)
        z = self._answers(theta, tried).detach()
        targets = self._placed(z)[1]
        pairs = (batch_of(targets, places) for places in (tried, twice))
        return trial.sums(self._judge, z, *pairs)

    @functools.cached_property
    def _criterion(self) -> Callable[..., Any]:
        made = self.make_criterion()
        found: Callable[..., Any] = made() if isinstance(made, type) else made
        return found

    @functools.cached_property
    def _judge(self) -> Callable[[Tensor, Any], Tensor]:
        criterion = self._criterion
        if not isinstance(criterion, nn.Module):
            return criterion
        # its own tensors, such as the weights of classes, come in the outputs' dtype
        placed = Weights(criterion.requires_grad_(False))
        return lambda z, targets: placed.plain_call(z, z, targets)

    def chosen(self, theta: Tensor, batch: Tensor | None) -> Any:
        """A batch, such as inputs and targets, in theta's dtype and on its device."""
        return batch_of(self._placed(theta), batch)

    def _answers(self, theta: Tensor, batch: Tensor | None) -> Any:
        if not self.knows_outputs:
            return self.weights.call(theta, self.chosen(theta, batch))
        inputs = batch_of(self._placed(theta)[0], batch)
        positional, named = arguments(inputs)
        return self.weights.call(theta, *positional, **named)

    def _first_answers(self) -> None:
        """ModelError where the module, or the loss of it, does not take its inputs at all."""
        try:
            self.finest_dtype  # noqa: B018  # found by calling
        except trial.REFUSALS as error:
            if isinstance(error, ModelError):
                raise
            what = "the loss of model and batch fails"
            if self.knows_outputs:
                inputs = tree_leaves(self.examples.tree[0])
                shapes = listed([str(tuple(each.shape[1:])) for each in inputs])
                what = f"the model does not take inputs of shape {shapes}"
            raise ModelError(f"{what}: {trial.reason(error)}") from error

    @constant
    def _placed(self) -> Any:
        return self.examples.tree

    @functools.cached_property
    def finest_dtype(self) -> torch.dtype:
        """Double precision, unless the module itself makes tensors of another."""
        theta, one = self.weights.theta(), torch.arange(min(2, self.population))
        try:
            self._answers(theta, one)
        except RuntimeError as error:
            if "dtype" not in str(error):
                raise
            self._answers(theta.float(), one)
            return torch.float32
        return torch.float64

    def _built(self, seed: int) -> nn.Module:
        model = prepared(self.make_model, seed)
        if self.has_weights:
            model = copied(model)
        if self.checkpoint is not None:
            load_checkpoint(model, self.checkpoint)
        return model

    def _fresh(self, seed: int) -> Tensor:
        found = Weights(self._built(seed))
        if found.shapes != self.weights.shapes:
            raise ModelError("the model has other shapes under another seed")
        return found.theta()
