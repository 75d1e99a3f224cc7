"""My metric."""

from dataclasses import dataclass

from torch import Tensor

from sfnbench import Metric, Oracle, register


@register("my_metric")  # the name in suites; also this file's name
@dataclass(frozen=True, kw_only=True)
class MyMetric(Metric):
    """My metric: the curvature along the gradient, g^T H g / g^T g."""

    def measure(self, oracle: Oracle, theta: Tensor) -> Tensor:
        """The number () at theta (d,).

        The oracle answers loss, grad, curvature and hessian, on the whole loss; nothing is counted.
        """
        curvature = oracle.curvature(theta)
        return (
            curvature.grad
            @ curvature.hvp(curvature.grad)
            / (curvature.grad @ curvature.grad)
        )
