"""Who may import whom, how long a file may be, and that the public names are there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from census import n_nodes

import sfnbench
from sfnbench.members import registry

PACKAGE = Path(sfnbench.__file__).parent
ROOT = PACKAGE.parent

# Floors from the ground up, each with its rooms: a room imports from floors below its own, no more.
# A room is a module or a folder; a nested one (members.contract) is a room of its own.
LAYERS = [
    ["words", "arrays"],
    ["errors"],
    ["environment"],
    ["records"],
    ["core", "theory", "survival", "report.figure"],
    ["linalg", "modules"],
    ["members"],
    ["datasets"],
    ["problems", "optimizers", "finders"],
    ["trajectories"],
    ["metrics"],
    ["members.contract", "results"],
    ["experiments"],
    ["suite"],
    ["session", "standing"],
    ["report", "watchers"],
    ["inspection", "notebook", "card"],
    ["cli"],
    ["__main__"],
]
ROOMS = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}

# An arrow that goes up needs a reason here; one that nothing uses any more fails the test below.
UPWARD: dict[tuple[str, str], str] = {}

# Rooms that may catch everything, and why.
CATCH_ALL = {
    "experiments": "one seed's failure is its own",
    "session": "an engine turns whatever a run raises into its result",
    "members.contract": "a member under test may raise anything",
    "trajectories": "scipy's thread hands on what it raised",
}


def room_of(module):
    """The room of a dotted module within sfnbench."""
    parts = module.split(".")
    nested = ".".join(parts[:2])
    return nested if nested in ROOMS else parts[0]


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        # what `sfnbench new` copies is the user's
        if path.parent.name == "templates":
            continue
        yield path, ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path):
    """Every module of sfnbench that a file imports, at its top or inside a function."""
    inside = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = inside[: len(inside) - node.level]
        elif (node.module or "").split(".")[0] == "sfnbench":
            base = ()
        else:
            continue
        named = (node.module or "").removeprefix("sfnbench").strip(".")
        target = [*base, *named.split(".")] if named else [*base]
        for alias in node.names:
            full = [*target, alias.name]
            is_module = PACKAGE.joinpath(*full).with_suffix(".py").exists()
            is_folder = PACKAGE.joinpath(*full).is_dir()
            found = full if is_module or is_folder or not target else target
            yield ".".join(found)


def arrows():
    """Every import from one room to another, as (from, to, file)."""
    for path, module in modules():
        if module == "__init__":
            continue
        for target in imports(path):
            if target == "__version__":
                continue
            source, goal = room_of(module), room_of(target)
            if source != goal:
                yield source, goal, path


def test_every_room_stands_on_a_floor():
    assert {room_of(module) for _, module in modules()} - {"__init__"} == set(ROOMS)


def test_arrows_go_down():
    up = {(a, b): path for a, b, path in arrows() if ROOMS[a] <= ROOMS[b]}
    assert {
        pair: str(path) for pair, path in up.items() if pair not in UPWARD
    } == {}
    assert set(UPWARD) == set(up)  # a permission that nothing uses goes


def test_no_two_modules_import_each_other():
    graph = {}
    for path, module in modules():
        targets = {t.removesuffix(".__init__") for t in imports(path)}
        graph[module.removesuffix(".__init__")] = targets
    known = set(graph)
    edges = {
        a: {b for b in targets if b in known and b != a}
        for a, targets in graph.items()
    }
    done: set[str] = set()

    def walk(module, trail):
        assert module not in trail, " -> ".join([*trail, module])
        if module in done:
            return
        for target in edges[module]:
            walk(target, [*trail, module])
        done.add(module)

    for module in edges:
        if module not in ("__init__",):
            walk(module, [])


def test_plugins_import_only_the_public_names():
    for path in registry.shipped("plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "sfnbench"
            ):
                assert node.module == "sfnbench", path
                assert {alias.name for alias in node.names} <= set(
                    sfnbench.__all__
                ), path


# Lines and syntax nodes at most. Width is no way out: nodes count, whatever the line breaks.
FILE_LINES, FILE_NODES = 400, 2000
FUNCTION_LINES, FUNCTION_NODES = 40, 300
COMMAND_LINES = 90  # a command of cli/ has a line or more for each of its options


def test_files_and_functions_stay_short():
    long = set()
    for path in [
        *PACKAGE.rglob("*.py"),
        *registry.shipped("plugins").rglob("*.py"),
    ]:
        source = path.read_text()
        tree = ast.parse(source)
        if source.count("\n") > FILE_LINES or n_nodes(tree) > FILE_NODES:
            long.add("/".join(path.parts[-2:]))
        most_lines = COMMAND_LINES if path.parent.name == "cli" else FUNCTION_LINES
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                n_lines = node.end_lineno - node.lineno + 1
                if n_lines > most_lines or n_nodes(node) > FUNCTION_NODES:
                    long.add(node.name)
    assert long == set()


def test_public_names_are_listed_twice_alike():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert typed == set(sfnbench._HOME)
    assert set(dir(sfnbench)) == set(sfnbench.__all__)
    for name in sfnbench.__all__:
        assert getattr(sfnbench, name) is not None


def test_pyproject_has_the_same_version():
    text = (ROOT / "pyproject.toml").read_text()
    assert (
        re.search(r'^version = "(.*)"', text, re.M).group(1) == sfnbench.__version__
    )


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".cli.main",
        ".results.store",
        ".results.export",
        ".experiments.summary",
        ".theory.landscapes",
    ],
)
def test_modules_that_only_read_import_no_torch(module):
    code = f"import sys, sfnbench{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def catches_everything(node):
    """Whether a node catches Exception or more: `except Exception`, bare, or
    suppress(Exception)."""
    wide = {"Exception", "BaseException"}
    if isinstance(node, ast.ExceptHandler):
        types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        return any(
            t is None or (isinstance(t, ast.Name) and t.id in wide) for t in types
        )
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(
            isinstance(arg, ast.Name) and arg.id in wide for arg in node.args
        )
    return False


def test_only_the_rooms_with_a_reason_catch_everything():
    catching = set()
    for path, module in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if not catches_everything(node):
                continue
            raises_again = isinstance(node, ast.ExceptHandler) and any(
                isinstance(each, ast.Raise) for each in node.body
            )
            if not raises_again:
                catching.add(room_of(module))
    assert catching == set(CATCH_ALL)
