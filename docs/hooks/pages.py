"""Pages that the site has and docs/ has not: the README in front, members, public names."""

import ast
import re
from pathlib import Path
from typing import Any

from docstrings import as_markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import sfnbench
from sfnbench.errors import PluginError
from sfnbench.members import registry

ROOT = Path(__file__).parents[2]
FROM_ROOT = {  # files outside docs/, by their name in the site
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
KINDS = {
    "problem": ("Problems", "What is minimised, and where its saddles are."),
    "optimizer": ("Optimizers", "The methods that race."),
    "finder": ("Finders", "Searches for critical points of any index."),
    "metric": (
        "Metrics",
        "What is recorded on the way, while the clock stands still.",
    ),
}
TYPES = """\
`Positive` is a number above 0, `NonNegative` 0 or more, `Fraction` from 0 to 1, `BelowOne` from 0
to below 1, `Count` a whole number from 1 on, `Index` one from 0 on.
"""
ROW = re.compile(r"^\|.*$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
APART = {
    "BelowOne",
    "Count",
    "Fraction",
    "Index",
    "NonNegative",
    "Positive",
    "datasets",
}
APART |= {"__version__"}  # these have places of their own
GROUPS = {  # the public names by what one does with them
    "Look at your own network": "inspect ModuleProblem as_torch_optimizer",
    "Run suites": "load_suite Suite plan Run Spec execute Result Status run_suite Results Store",
    "Write a method": "register Optimizer State Oracle Curvature Calls lanczos make_card",
    "Write a problem": "Problem CriticalPoint CoordinateSubspace Network constant",
    "Write a finder or a metric": "Finder Equations Iterate Metric",
    "Errors": "SfnbenchError SuiteError PluginError CheckError ModelError DataError DeviceError "
    "StoreError",
}


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages; mkdocs calls this once it has listed docs/."""
    pages = {name: _from_root(source) for name, source in FROM_ROOT.items()}
    pages["index.md"] = "---\nhide: [navigation]\n---\n" + pages["index.md"]
    pages |= {f"members/{kind}s.md": _members(kind) for kind in KINDS}
    pages["reference.md"] = _reference()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links out of docs/ to the pages that stand for them.

    GitHub wants a backslash before a bar in the code of a table, which this Markdown would show.
    """
    for name, source in FROM_ROOT.items():
        markdown = markdown.replace(f"](../{source}", f"]({name}")
    return ROW.sub(lambda row: CODE.sub(_with_bars, row[0]), markdown)


def _with_bars(code: re.Match[str]) -> str:
    return code[0].replace(r"\|", "|")


def _from_root(source: str) -> str:
    text = (ROOT / source).read_text()
    text = text.replace("](docs/", "](")
    for name, other in FROM_ROOT.items():
        text = text.replace(f"]({other}", f"]({name}")
    return text


# -- members ---------------------------------------------------------------------------------------


def _members(kind: registry.Kind) -> str:
    title, line = KINDS[kind]
    found = [_member(member) for member in registry.members(kind).values()]
    return "\n\n".join([f"# {title}", line + " " + TYPES, *found])


def _member(member: registry.Member) -> str:
    if member.error:
        raise PluginError(f"{member.path}: {member.error}")
    place = member.path.relative_to(ROOT)
    parts = [
        f"## {member.name}",
        as_markdown(docstring_of(member)),
        _fields(member),
        f"`{member.class_name}` in `{place}`.",
    ]
    return "\n\n".join(part for part in parts if part)


def _fields(member: registry.Member) -> str:
    if not member.fields:
        return ""
    rows = ["| field | type | default |", "|---|---|---|"]
    for field in member.fields:
        default = "must be given" if field.default is None else _code(field.default)
        kind = _code(_plain_type(field.annotation))
        rows.append(f"| `{field.name}` | {kind} | {default} |")
    return "\n".join(rows)


def _plain_type(annotation: str) -> str:
    """A type with its bounds as signs: ``int >= 2`` stands for ``Annotated[int, Ge(2)]``."""
    for bound, sign in (("Ge", ">="), ("Gt", ">"), ("Le", "<="), ("Lt", "<")):
        annotation = re.sub(rf", {bound}\(([^()]*)\)", rf", {sign} \1", annotation)
    annotation = re.sub(r"\b(int|float), ([<>])", r"\1 \2", annotation)
    return re.sub(r"Annotated\[([^\[\]]*)\]", r"\1", annotation)


def _code(text: str) -> str:
    """Code on one line; a bar in it ends no cell of a table."""
    return "`" + re.sub(r"\s+", " ", text) + "`"


# -- public names ----------------------------------------------------------------------------------


def _reference() -> str:
    parts = [
        "# Python names",
        "Everything that `import sfnbench` offers. Plugins import these names only.",
    ]
    listed = {name for names in GROUPS.values() for name in names.split()}
    others = [name for name in sfnbench.__all__ if name not in listed | APART]
    for title, names in {**GROUPS, "Further names": " ".join(others)}.items():
        if names:
            parts.append(f"## {title}")
            parts += [f"::: sfnbench.{name}" for name in names.split()]
    return "\n\n".join([*parts, "## Types of fields", TYPES, _datasets()])


def _datasets() -> str:
    return "## Datasets\n\n::: sfnbench.datasets"


def docstring_of(member: registry.Member) -> str:
    """The docstring of a member's class, read from its file."""
    for node in ast.parse(member.path.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == member.class_name:
            return ast.get_docstring(node) or ""
    return ""
