"""Completion in a shell: suites, members, labels, profiles. Imports no torch."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ..errors import SfnbenchError


def suite_names(incomplete: str) -> list[str]:
    """Suites by name."""
    from ..suite.files import available

    return _with_start(available(), incomplete)


def profile_names(incomplete: str) -> list[str]:
    """Profiles of the suite that stands on the line already."""
    return _with_start(_suite().get("profiles") or (), incomplete)


def optimizers(incomplete: str) -> list[str]:
    """Labels and members of the suite, then all optimizers and finders."""
    return _with_start(
        _key_values("optimizers", ("optimizer", "finder")), incomplete
    )


def problems(incomplete: str) -> list[str]:
    """Labels and members of the suite, then all problems."""
    return _with_start(_key_values("problems", ("problem",)), incomplete)


def methods(incomplete: str) -> list[str]:
    """All optimizers."""
    from ..members import registry

    return _with_start(registry.members("optimizer"), incomplete)


# -- inside ----------------------------------------------------------------------------------------


def _with_start(names: Iterable[Any], incomplete: str) -> list[str]:
    texts = dict.fromkeys(str(name) for name in names)
    return [name for name in texts if name.startswith(incomplete)]


def _suite() -> dict[str, Any]:
    """The suite on the line as its YAML reads; empty where there is none or it cannot be read.

    The line is taken as the shell hands it over: before an option has its value, it parses to
    nothing.
    """
    import yaml

    from ..suite.files import SUFFIXES, available, locate, read_suite

    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get(
        "COMP_WORDS", ""
    )
    # an open quote raises ValueError
    with suppress(SfnbenchError, yaml.YAMLError, ValueError):
        for word in shlex.split(line)[2:]:
            if word in available() or word.endswith(SUFFIXES):
                found = yaml.safe_load(read_suite(locate(word)))
                return found if isinstance(found, dict) else {}
    return {}


def _key_values(key: str, kinds: Iterable[Any]) -> list[str]:
    from ..members import registry

    names: list[str] = []
    for entry in _suite().get(key) or ():
        if isinstance(entry, dict):
            names += [
                each for each in (entry.get("label"), entry.get("use")) if each
            ]
        else:
            names.append(str(entry))
    for kind in kinds:
        with suppress(SfnbenchError):
            names += registry.members(kind)
    return names
