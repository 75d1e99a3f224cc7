"""Count what makes the package easy or hard to enter: `make census`, for any commit.

    python benchmarks/census.py               the working tree
    python benchmarks/census.py --rev HEAD~5  a commit, unpacked into a temporary folder

Only the standard library. A floor is the longest way down from a module through the imports of
sfnbench; an arrow is an import from one room to another; a circle is a set of modules that reach
each other. A code line is one that is neither blank, comment nor docstring.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDTH = 100
SILENT = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.COMMENT,
    tokenize.INDENT,
    tokenize.DEDENT,
}
PLAN = """
import ast, sys
n = 0
parse = ast.parse
def counting(*args, **kwargs):
    global n
    n += sys._getframe(1).f_globals.get("__name__", "").startswith("sfnbench")
    return parse(*args, **kwargs)
ast.parse = counting
try:
    from sfnbench.suite.reading import load_suite
    from sfnbench.suite.plan import plan
except ImportError:  # before the rooms
    from sfnbench.suite.schema import load_suite
    from sfnbench.planning import plan
plan(load_suite("rnn", "quick"))
print(n)
"""


def n_nodes(tree: ast.AST) -> int:
    """Syntax nodes, the contexts (load, store, delete) of names left out."""
    return sum(not isinstance(node, ast.expr_context) for node in ast.walk(tree))


def code_lines(source: str, tree: ast.Module) -> int:
    """Lines that hold code."""
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            not isinstance(body, list)
            or not body
            or not isinstance(body[0], ast.Expr)
        ):
            continue
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            docstrings.update(
                range(value.lineno, (value.end_lineno or value.lineno) + 1)
            )
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def imported(
    tree: ast.Module, inside: tuple[str, ...], modules: set[str]
) -> Iterator[str]:
    """The modules of sfnbench that a module imports; `inside` is its own name, in parts."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = inside[: len(inside) - node.level]
        elif (node.module or "").split(".")[0] == "sfnbench":
            base = ()
        else:
            continue
        named = (node.module or "").removeprefix("sfnbench").strip(".")
        target = ".".join([*base, *named.split(".")] if named else base)
        for alias in node.names:
            full = f"{target}.{alias.name}".strip(".")
            found = full if full in modules else target
            if found in modules:
                yield found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that reach each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in graph[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            component = []
            while not component or component[-1] != module:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for module in graph:
        if module not in index:
            visit(module)
    return found


def floors(graph: dict[str, set[str]], in_circles: set[str]) -> int:
    """Modules on the longest way down, those in circles left out."""
    depth: dict[str, int] = {}

    def of(module: str) -> int:
        if module not in depth:
            below = [
                of(t) for t in graph[module] if t not in in_circles and t != module
            ]
            depth[module] = 1 + max(below, default=0)
        return depth[module]

    return max(of(module) for module in graph if module not in in_circles)


def parses_per_plan(root: Path) -> str:
    """How many files are parsed to plan `rnn --profile quick`, in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-W", "ignore", "-c", PLAN]
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.split() or [
        f"failed: {done.stderr.strip().splitlines()[-1:]}"
    ]
    return lines[-1]


def census(root: Path) -> dict[str, object]:
    """Every count by what it counts."""
    package = root / "sfnbench"
    sources = {
        ".".join(path.relative_to(package).with_suffix("").parts): path.read_text(
            encoding="utf-8"
        )
        for path in sorted(package.rglob("*.py"))
    }
    trees = {name: ast.parse(source) for name, source in sources.items()}
    scripts = [path.read_text(encoding="utf-8") for path in package.rglob("*.js")]
    return {
        "modules at the top": sum(1 for path in package.glob("*.py")),
        **counts_of_text(sources, trees),
        **counts_of_imports(trees),
        "lines of the report's JavaScript": sum(
            text.count("\n") for text in scripts
        ),
        "files parsed to plan rnn --profile quick": parses_per_plan(root),
    }


def counts_of_text(
    sources: dict[str, str], trees: dict[str, ast.Module]
) -> dict[str, object]:
    """Lengths, widths, density and names of the modules."""
    lengths = {name: source.count("\n") for name, source in sources.items()}
    nodes = {name: n_nodes(tree) for name, tree in trees.items()}
    n_code = sum(
        code_lines(source, trees[name]) for name, source in sources.items()
    )
    everything = [node for tree in trees.values() for node in ast.walk(tree)]
    n_statements = sum(isinstance(node, ast.stmt) for node in everything)
    n_ternaries = sum(isinstance(node, ast.IfExp) for node in everything)
    lines = [line for source in sources.values() for line in source.split("\n")]
    n_wide = sum(len(line) > WIDTH for line in lines)
    defined: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        for node in tree.body:
            for each in names_of(node):
                defined[each].add(name)
    longest = max(lengths, key=lengths.__getitem__)
    heaviest = max(nodes, key=nodes.__getitem__)
    return {
        "files": len(sources),
        "lines of the median file": int(statistics.median(lengths.values())),
        "lines of the longest file": f"{lengths[longest]} ({longest})",
        "syntax nodes of the heaviest file": f"{nodes[heaviest]} ({heaviest})",
        "code lines": n_code,
        "syntax nodes a code line": round(sum(nodes.values()) / n_code, 2),
        f"lines over {WIDTH}": f"{n_wide} ({100 * n_wide / len(lines):.1f} %)",
        "ternaries per 1,000 statements": round(
            1000 * n_ternaries / n_statements, 1
        ),
        "names defined in two or more files": sum(
            len(files) > 1 for files in defined.values()
        ),
    }


def counts_of_imports(trees: dict[str, ast.Module]) -> dict[str, object]:
    """Floors, arrows between rooms, and circles."""
    known = {name.removesuffix(".__init__") for name in trees} - {"__init__"}
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        own = name.removesuffix(".__init__")
        if own in known:
            inside = tuple(name.split("."))
            graph[own] = set(imported(tree, inside, known)) - {own}
    rounds = circles(graph)
    rooms = {name: name.split(".")[0] for name in graph}
    arrows = {(rooms[a], rooms[b]) for a, targets in graph.items() for b in targets}
    return {
        "floors": floors(graph, {name for each in rounds for name in each}),
        "arrows between rooms": sum(1 for a, b in arrows if a != b),
        "circles of imports": "; ".join(" <-> ".join(each) for each in rounds) or 0,
    }


def names_of(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module defines; double underscores aside."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
        return
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Name) and not target.id.startswith("__"):
            yield target.id


def main() -> None:
    """Print the census of the working tree or of a commit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rev", help="a commit; the working tree by default")
    asked = parser.parse_args().rev
    with tempfile.TemporaryDirectory() as folder:
        root = ROOT
        if asked:
            archive = subprocess.run(
                ["git", "archive", asked],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
            )
            with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
                tar.extractall(folder, filter="data")
            root = Path(folder)
        counts = census(root)
    width = max(map(len, counts))
    for what, count in counts.items():
        print(f"{what:{width}}  {count}")


if __name__ == "__main__":
    main()
