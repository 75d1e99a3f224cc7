"""``sfnbench new``: a file to begin with, which passes its check as it is written."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import PluginError
from ..members import registry
from ..members.datasets import dataset_files
from ..words import with_article

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_template(kind: str, name: str, *, is_module: bool = False) -> Path:
    """A new file for a member, dataset or suite of that name, below the current folder.

    With `is_module` it is a problem made of a module of torch.

    PluginError where the name is not a word of small letters, where a member or dataset has it, or
    where the file exists.
    """
    if not NAME.fullmatch(name):
        expected = "small letters, digits and _, a letter first"
        raise PluginError(
            f"{name!r} is no name for {with_article(kind)}: use {expected}"
        )
    known = _known_files(kind).get(name)
    if known:
        raise PluginError(f"{with_article(kind)} called {name!r} exists: {known}")
    if kind == "suite":
        path = Path("suites") / f"{name}.yaml"
    else:
        path = Path("plugins") / f"{kind}s" / f"{name}.py"
    template = TEMPLATES / f"{kind}{'_module' * is_module}{path.suffix}"
    text = _renamed(template.read_text(encoding="utf-8"), kind, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise PluginError(f"{path} exists") from error
    except OSError as error:
        raise PluginError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _known_files(kind: str) -> dict[str, Path]:
    """Where the members or datasets of a kind are, by name; suites are not looked up."""
    if kind == "dataset":
        return {name: file.path for name, file in dataset_files().items()}
    for each in registry.KINDS:
        if each == kind:
            return {
                name: member.path for name, member in registry.members(each).items()
            }
    return {}


def _renamed(text: str, kind: str, name: str) -> str:
    """The template of a kind with its name, in three spellings, replaced."""
    class_name = "".join(part.capitalize() for part in name.split("_"))
    title = name.replace("_", " ").capitalize()
    text = text.replace(f"my_{kind}", name)
    text = text.replace(f"My{kind.capitalize()}", class_name)
    return text.replace(f"My {kind}", title)
