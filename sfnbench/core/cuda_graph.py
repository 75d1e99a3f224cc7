"""Work on a GPU that is recorded once, and then started as a whole.

A GPU is given its kernels one by one, each some microseconds after the last. Where kernels are
shorter than that, a CUDA graph of them takes only their own time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]

N_ONE_BY_ONE = 2  # calls that find out that all is well, before one is recorded
# multiplications in a product up to which its kernels take less time than their starts: above, on
# an H200, a graph is no faster
LAUNCHES_DOMINATE = 10**11


class CudaGraph:
    """A function of tensors on a GPU, recorded for inputs of these shapes.

    It must not read values, nor draw random numbers: both break the recording.
    """

    def __init__(self, f: Callable[..., Tensors], inputs: Sequence[Tensor]) -> None:
        self._inputs = [each.clone() for each in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = f(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensors:
        """The function's values, in tensors of their own."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return tuple(each.clone() for each in self._outputs)


def recorded(
    product: Callable[[Tensor], Tensor], like: Tensor, n_multiplications: int
) -> Callable[[Tensor], Tensor]:
    """A product with vectors (d,), which becomes a CUDA graph where that is faster.

    That is after some calls, where `like` is on a GPU and multiplications are few.
    """
    if not like.is_cuda or n_multiplications > LAUNCHES_DOMINATE:
        return product
    n_calls = 0
    graph: CudaGraph | None = None

    def faster(v: Tensor) -> Tensor:
        nonlocal n_calls, graph
        n_calls += 1
        if n_calls <= N_ONE_BY_ONE:
            return product(v)
        if graph is None:
            graph = CudaGraph(lambda vector: (product(vector),), [v])
        return graph(v)[0]

    return faster
