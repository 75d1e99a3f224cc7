"""Values, words and bytes that break careless readers, and where a tree has room for them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

# fmt: off
NUMBERS = (
    0, -1, 1, 2, 3, 7, 40, 999, 10**4, 10**6, 10**8, 10**9, 10**12, 2**31, 2**53,
    2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400, 1e-3, 0.5, -0.0, 1e-320,
    1e-30, 1e30, 1e300, 1.8e308, -1e308, *map(float, ("nan", "inf", "-inf")),
)
WORDS = (
    "", " ", "use", "grid", "loguniform", "uniform", "choice", "label", "seeds",
    "tune", "profiles", "budget", "steps", "race", "critical_points", "throughput",
    "sfn", "mlp", "torch.optim.Adam", "torch.optim.LBFGS", "scipy.optimize.bfgs",
    "__main__:X", "os:system", "venv.__main__:X", "a" * 5000, "\x00", "\x1b[2J",
    "\ud800", "\u202e", "\U0001f600", "e\u0301", "\ufeff", "=1+1", "../../..", "/",
    "/dev/zero", "/dev/stdin", "/proc/self/mem", "/dev/tty", "~", "C:\\x", "%s{0}",
    "1e3", "0x10", "1:30", "on", "null", "2014-06-10", "!!python/object:os", "nan",
)
PIECES = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\t", b"\n", b"- ",
    b": ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"<<: ", b"!!binary ", b"? ",
    b"| ", b"> ", b"---\n", b"...\n", b"%YAML 9.9\n", b"#", b'"', b"'", b"\\", b"@",
    b"`", b"1e9", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"999999999999999999999",
)
# fmt: on


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of a tree, as what holds it and its key or place there."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from places(tree[key])


def number(rng: random.Random) -> Any:
    return rng.choice((*NUMBERS, *range(-2, 8), 10 ** rng.randrange(12)))


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any value, as hostile as it comes."""
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind <= 2:
        return number(rng)
    if kind == 3:
        return rng.choice(WORDS)
    if kind <= 5:
        return rng.choice((None, True, False, [], {}, [[]], {"use": {}}))
    if kind == 6:
        n = rng.choice((1, 2, 3, 3, 1000 if depth == 0 else 4))
        return [value(rng, depth + 1) for _ in range(n)]
    return {
        rng.choice(WORDS): value(rng, depth + 1) for _ in range(rng.randrange(4))
    }
