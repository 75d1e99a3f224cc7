"""The draws of a run: each seed's minibatches and noise, step by step."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..trajectories.trajectories import Batches
from .randomness import generator
from .setup import Setup


class Draws:
    """Each seed's minibatches and noise, drawn outside of every transform.

    Each of an optimizer's batches has a stream of its own. So all optimizers that ask for the same
    size in the same place get the same examples, whatever else they ask for.
    """

    def __init__(self, setup: Setup, seeds: tuple[int, ...]) -> None:
        self._setup = setup
        streams = [
            "batch",
            *(f"batch {i}" for i in range(1, len(setup.batch_sizes))),
        ]
        self._batch_rngs: list[list[torch.Generator]] = []
        if not setup.full_batches:
            self._batch_rngs = [
                [generator(seed, name) for name in streams] for seed in seeds
            ]
        self._noise_rngs: list[torch.Generator] = []
        if setup.n_noise:
            self._noise_rngs = [generator(seed, "noise") for seed in seeds]
        whole: Batches = (None,) * len(setup.batch_sizes)
        self._whole = [whole] * len(seeds)  # where every batch is all examples

    def next(self) -> tuple[list[Batches], Tensor | None]:
        """The batches of each seed, and standard normal noise (S, n_noise, d) if any is wanted."""
        return self._batches(), self._noise()

    def positions(self) -> list[Tensor]:
        """Where the stream of each generator is."""
        return [rng.get_state() for rng in self._rngs()]

    def move_to(self, positions: list[Tensor]) -> None:
        """Let each stream go on from there."""
        for rng, position in zip(self._rngs(), positions, strict=True):
            rng.set_state(position)

    def _rngs(self) -> list[torch.Generator]:
        return [*chain.from_iterable(self._batch_rngs), *self._noise_rngs]

    def _batches(self) -> list[Batches]:
        if not self._batch_rngs:
            return self._whole
        sizes = self._setup.batch_sizes
        return [tuple(map(self._batch, sizes, rngs)) for rngs in self._batch_rngs]

    def _batch(self, size: int | None, rng: torch.Generator) -> Any:
        if size is None:
            return None
        return tree_map(self._placed, self._setup.problem.draw(rng, size))

    def _placed(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf.to(self._setup.device, non_blocking=True)

    def _noise(self) -> Tensor | None:
        if not self._noise_rngs:
            return None
        shape = self._setup.n_noise, self._setup.problem.dim
        drawn = [
            torch.randn(shape, generator=rng, dtype=torch.float64)
            for rng in self._noise_rngs
        ]
        return torch.stack(drawn).to(self._setup.device, self._setup.dtype)
