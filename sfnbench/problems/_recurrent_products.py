"""A recurrent network to second order, by hand: products with its curvature matrices.

    h_t = tanh(u_t),  u_t = E[c_t] + b + W h_{t-1},    z_t = V h_t + a        t = 1..T, h_0 = 0

Let e_t be the mean loss's gradient in z_t, g_t that in h_t and delta_t = (1 - h_t^2) g_t that in
u_t; R{f} is the derivative of f along v, whose share of each weight has a prime. Forwards from
R{h_0} = 0, and back from R{e_t} = d2l/dz_t^2 R{z_t},

    R{u_t} = E'[c_t] + b' + W' h_{t-1} + W R{h_{t-1}}
    R{h_t} = (1 - h_t^2) R{u_t}
    R{g_t} = V^T R{e_t} + V'^T e_t + W^T R{delta_{t+1}} + W'^T delta_{t+1}
    R{delta_t} = (1 - h_t^2) R{g_t} - 2 h_t g_t R{h_t}

and H v in W is the sum of R{delta_t} h_{t-1}^T + delta_t R{h_{t-1}}^T, in V that of R{e_t} h_t^T +
e_t R{h_t}^T. It is Gauss-Newton's product without the primed terms and the last term on the way
back, and with only the first terms here. Only W R{h} and W^T R{delta} must go step by
step; all else is one matrix product for all steps, where differentiating twice takes T of them, and
T sums. Reference: Pearlmutter 1994, Fast exact multiplication by the Hessian.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.cuda_graph import recorded
from ..core.curvature import CurvatureKind, Linearisation

# views of a theta: E (k, m), W (m, m), b (m,), V (k, m), a (k,)
Splitter = Callable[[Tensor], list[Tensor]]


def linearised(
    split: Splitter,
    theta: Tensor,
    here: Tensor,
    following: Tensor,
    kind: CurvatureKind,
) -> Linearisation:
    """The mean cross-entropy to second order at theta (d,).

    `here` and `following` are codes (T, n) of characters and of those that follow each.
    Products write in place: not for use inside torch.func's transforms.
    """
    with torch.no_grad():
        path = _Path.of(split, theta, here, following)
        grad = torch.zeros_like(theta)
        path.weigh(path.d, path.e, split(grad))

    def product(v: Tensor) -> Tensor:
        with torch.no_grad():
            found = torch.zeros_like(v)
            path.along(split(v))
            if kind == "fisher":
                path.square_errors()
            else:
                path.bend_errors()
            path.back(split(v), exact=kind == "hessian")
            path.weigh(path.Rd, path.Re, split(found))
            if kind == "hessian":
                path.weigh_again(split(found))
        return found

    n_multiplications = 10 * here.numel() * len(theta)
    return Linearisation(
        path.loss, grad, recorded(product, theta, n_multiplications)
    )


@dataclass
class _Path:
    """The network's way through T steps of n texts, and room for its derivatives, named R."""

    W: Tensor
    V: Tensor
    codes: Tensor  # (T n,)
    loss: Tensor
    h: Tensor  # (T, n, m)
    p: Tensor  # (T n, k) softmax z
    e: Tensor  # (T n, k)
    d: Tensor  # (T, n, m)
    slope: Tensor  # (T, n, m) 1 - h^2
    twist: Tensor  # (T, n, m) -2 h g
    Rh: Tensor
    Re: Tensor  # R{z} at first
    Rd: Tensor

    @classmethod
    def of(
        cls, split: Splitter, theta: Tensor, here: Tensor, following: Tensor
    ) -> "_Path":
        """Through the network and back."""
        E, W, b, V, a = split(theta)
        h = (E + b).index_select(0, here.reshape(-1)).view(*here.shape, -1)
        h[0].tanh_()
        for t in range(1, len(h)):
            h[t].addmm_(h[t - 1], W.mT).tanh_()
        z, aims = torch.addmm(a, h.flatten(0, 1), V.mT), following.reshape(-1, 1)
        p = z.softmax(1)
        e = (p.scatter_add(1, aims, p.new_full(aims.shape, -1.0))).div_(len(p))
        loss = (z.logsumexp(1) - z.gather(1, aims)[:, 0]).mean()
        g, d, slope = (e @ V).view_as(h), torch.empty_like(h), 1 - h * h
        torch.mul(g[-1], slope[-1], out=d[-1])
        for t in reversed(range(len(h) - 1)):
            torch.mul(g[t].addmm_(d[t + 1], W), slope[t], out=d[t])
        room = torch.empty_like(h), torch.empty_like(p), torch.empty_like(h)
        return cls(
            W,
            V,
            here.reshape(-1),
            loss,
            h,
            p,
            e,
            d,
            slope,
            g.mul_(h).mul_(-2),
            *room,
        )

    def along(self, v: list[Tensor]) -> None:
        """R{h} and R{z}."""
        E, W, b, V, a = v
        Ru = (E + b).index_select(0, self.codes).view_as(self.h)
        Ru[1:].flatten(0, 1).addmm_(self.h[:-1].flatten(0, 1), W.mT)
        torch.mul(Ru[0], self.slope[0], out=self.Rh[0])
        for t in range(1, len(Ru)):
            torch.mul(
                Ru[t].addmm_(self.Rh[t - 1], self.W.mT),
                self.slope[t],
                out=self.Rh[t],
            )
        torch.addmm(a, self.h.flatten(0, 1), V.mT, out=self.Re).addmm_(
            self.Rh.flatten(0, 1), self.V.mT
        )

    def bend_errors(self) -> None:
        """R{e} from R{z}: the criterion's Hessian is diag p - p p^T for each prediction."""
        self.Re.sub_((self.p * self.Re).sum(1, keepdim=True)).mul_(self.p).div_(
            len(self.p)
        )

    def square_errors(self) -> None:
        """The Fisher's e_s (e_s . R{z}_s) of each text s, in place of R{e}.

        e is the gradient of the mean: n times it is one text's.
        """
        T, n, _ = self.h.shape
        e, Rz = self.e.view(T, n, -1), self.Re.view(T, n, -1)
        torch.mul(e, n * (e * Rz).sum((0, 2))[:, None], out=Rz)

    def back(self, v: list[Tensor], exact: bool) -> None:
        """R{delta} from R{e}; `exact` with the network's own curvature."""
        _, W, _, V, _ = v
        Rg = (self.Re @ self.V).view_as(self.h)
        if exact:
            Rg.flatten(0, 1).addmm_(self.e, V)
            Rg[:-1].flatten(0, 1).addmm_(self.d[1:].flatten(0, 1), W)
            torch.mul(self.twist, self.Rh, out=self.Rd)
        else:
            self.Rd.zero_()
        self.Rd[-1].addcmul_(self.slope[-1], Rg[-1])
        for t in reversed(range(len(Rg) - 1)):
            self.Rd[t].addcmul_(self.slope[t], Rg[t].addmm_(self.Rd[t + 1], self.W))

    def weigh(self, d: Tensor, e: Tensor, found: list[Tensor]) -> None:
        """Write the weights' share of deltas (T, n, m) and errors (T n, k); E's is zero before."""
        E, W, b, V, a = found
        E.index_add_(0, self.codes, d.flatten(0, 1))
        torch.mm(d[1:].flatten(0, 1).mT, self.h[:-1].flatten(0, 1), out=W)
        torch.sum(d.flatten(0, 1), 0, out=b)
        torch.mm(e.mT, self.h.flatten(0, 1), out=V)
        torch.sum(e, 0, out=a)

    def weigh_again(self, found: list[Tensor]) -> None:
        """Add the weights' share of R{h}."""
        _, W, _, V, _ = found
        W.addmm_(self.d[1:].flatten(0, 1).mT, self.Rh[:-1].flatten(0, 1))
        V.addmm_(self.e.mT, self.Rh.flatten(0, 1))
