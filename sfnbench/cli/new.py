"""``sfnbench new``: a file to begin with, which passes its check as it is written."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import PluginError
from ..members import registry

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE_KINDS = ("optimizer", "problem", "finder", "metric", "suite")
NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_template(kind: str, name: str, *, is_module: bool = False) -> Path:
    """A new file for a member or suite of that name, below the current folder.

    With `is_module` it is a problem made of a module of torch.

    PluginError where the name is not a word of small letters, where a member has it, or where the
    file exists.
    """
    if not NAME.fullmatch(name):
        raise PluginError(
            f"{name!r} is no name for a {kind}: use small letters, digits and _, a letter first"
        )
    for member_kind in registry.KINDS:
        known = registry.members(member_kind).get(name) if member_kind == kind else None
        if known:
            raise PluginError(f"a {kind} called {name!r} exists: {known.path}")
    if kind == "suite":
        path = Path("suites") / f"{name}.yaml"
    else:
        path = Path("plugins") / f"{kind}s" / f"{name}.py"
    template = TEMPLATES / f"{kind}{'_module' * is_module}{path.suffix}"
    text = _renamed(template.read_text(encoding="utf-8"), name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise PluginError(f"{path} exists") from error
    except OSError as error:
        raise PluginError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _renamed(text: str, name: str) -> str:
    """The template with its name, in its three spellings, replaced."""
    class_name = "".join(part.capitalize() for part in name.split("_"))
    title = name.replace("_", " ").capitalize()
    for old, new in (
        ("my_method", name),
        ("MyMethod", class_name),
        ("My method", title),
    ):
        text = text.replace(old, new)
    return text
