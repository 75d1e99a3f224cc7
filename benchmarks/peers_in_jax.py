"""The same works in JAX, compiled before they are timed."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import numpy as jnp

jax.config.update("jax_enable_x64", True)
VERSION = jax.__version__

Shapes = Sequence[tuple[int, int]]


def step_of_waves(starts: np.ndarray) -> Callable[[], object]:
    """A step of dense saddle-free Newton from starts (S, d) of the contract's waves."""

    def loss(theta):
        curvature = jnp.linspace(-1, 2, len(theta))
        bowl = (curvature * theta**2).sum() / 2 + (theta**4).sum() / 10
        return bowl + jnp.sin(theta.sum()) / 3

    def step(theta):
        eigenvalues, Q = jnp.linalg.eigh(jax.hessian(loss)(theta))
        coordinates = Q.T @ jax.grad(loss)(theta)
        return theta - Q @ (coordinates / (jnp.abs(eigenvalues) + 0.1))

    compiled, at = jax.jit(jax.vmap(step)), jnp.asarray(starts)
    compiled(at).block_until_ready()
    return lambda: compiled(at).block_until_ready()


def product(
    shapes: Shapes, theta: np.ndarray, images: np.ndarray, v: np.ndarray
) -> Callable[[], object]:
    """A Hessian-vector product of the deep autoencoder, the gradient linearised once."""
    x = jnp.asarray(images)
    n_layers = len(shapes)

    def loss(theta):
        h = x
        for place, (weights, biases) in enumerate(_layers(theta, shapes), 1):
            h = h @ weights.T + biases
            if place not in (n_layers // 2, n_layers):
                h = jax.nn.sigmoid(h)
        fit = jnp.maximum(h, 0) - h * x + jnp.log1p(jnp.exp(-jnp.abs(h)))
        return fit.sum() / len(x)

    _, linear = jax.linearize(jax.grad(loss), jnp.asarray(theta))
    compiled, along = jax.jit(linear), jnp.asarray(v)
    compiled(along).block_until_ready()
    return lambda: compiled(along).block_until_ready()


def dense_hessian(
    shapes: Shapes, theta: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> Callable[[], object]:
    """The Hessian of a perceptron of tanh on images (n_in, n), 32 columns at a time."""
    x, y = jnp.asarray(images), jnp.asarray(labels)

    def loss(theta):
        ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
        h = x
        for end, shape in zip(ends, shapes, strict=True):
            matrix = theta[end - math.prod(shape) : end].reshape(shape)
            h = matrix[:, :-1] @ h + matrix[:, -1:]
            if end != ends[-1]:
                h = jnp.tanh(h)
        return (jax.nn.logsumexp(h, axis=0) - (h * y).sum(0)).mean()

    at = jnp.asarray(theta)
    _, linear = jax.linearize(jax.grad(loss), at)
    rows = jax.jit(lambda: jax.lax.map(linear, jnp.eye(len(at)), batch_size=32))
    rows().block_until_ready()
    return lambda: rows().block_until_ready()


def _layers(theta, shapes: Shapes):
    """Weights (n_out, n_in) and biases of each layer."""
    at = 0
    for n_out, n_in in shapes:
        weights = theta[at : at + n_out * n_in].reshape(n_out, n_in)
        at += n_out * n_in
        yield weights, theta[at : at + n_out]
        at += n_out
