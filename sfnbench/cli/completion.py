"""What a shell offers for completion: suites, members, labels, profiles. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import typer
import yaml

from ..errors import SfnbenchError

Context = typer.Context


def suite_names(incomplete: str) -> list[str]:
    """Suites by name."""
    from ..suite.files import available

    return _begun(available(), incomplete)


def profiles(context: Context, incomplete: str) -> list[str]:
    """Profiles of the suite that stands on the line already."""
    return _begun(_suite(context).get("profiles") or (), incomplete)


def optimizers(context: Context, incomplete: str) -> list[str]:
    """Labels and members of the suite, then all optimizers and finders."""
    return _begun(_named(context, "optimizers", ("optimizer", "finder")), incomplete)


def problems(context: Context, incomplete: str) -> list[str]:
    """Labels and members of the suite, then all problems."""
    return _begun(_named(context, "problems", ("problem",)), incomplete)


def methods(incomplete: str) -> list[str]:
    """All optimizers."""
    from ..members import registry

    return _begun(registry.members("optimizer"), incomplete)


# -- inside ----------------------------------------------------------------------------------------


def _begun(names: Iterable[Any], incomplete: str) -> list[str]:
    texts = dict.fromkeys(str(name) for name in names)
    return [name for name in texts if name.startswith(incomplete)]


def _suite(context: Context) -> dict[str, Any]:
    """The suite on the line as its YAML reads; empty where it cannot be read."""
    from ..suite.files import locate, read_suite

    with suppress(SfnbenchError, yaml.YAMLError):
        found = yaml.safe_load(read_suite(locate(context.params.get("suite") or "")))
        return found if isinstance(found, dict) else {}
    return {}


def _named(context: Context, key: str, kinds: Iterable[Any]) -> list[str]:
    from ..members import registry

    names: list[str] = []
    for entry in _suite(context).get(key) or ():
        if isinstance(entry, dict):
            names += [each for each in (entry.get("label"), entry.get("use")) if each]
        else:
            names.append(str(entry))
    for kind in kinds:
        with suppress(SfnbenchError):
            names += registry.members(kind)
    return names
