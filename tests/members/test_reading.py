"""A file is parsed once, and its digest is that of its code alone."""

import ast
import os
import shutil
import subprocess

import pytest

from sfnbench.members import reading
from sfnbench.members.reading import HERE, Import, read

CODE = '''
"""A module."""
import math

class Thing(Exception):
    """One line."""

    size: int = 3
    """What it is."""

def area(r: float, unit="m") -> str:
    # a comment
    names = {**{}, "a": None, 1: ""}
    return f"{math.pi * r**2:.{names[1] or 3}f} {unit!r}{r:>{3}}" "²"
'''


def digest(path, text):
    path.write_text(text, encoding="utf-8")
    return read(path).digest


def test_comments_docstrings_and_formatting_change_no_digest(tmp_path):
    before = digest(tmp_path / "a.py", CODE)
    same = [
        CODE.replace("# a comment", "# another, longer comment\n"),
        CODE.replace('"""One line."""', '"""Two.\n\n    Lines."""'),
        CODE.replace('    """What it is."""\n', ""),
        CODE.replace('"""A module."""\n', ""),
        CODE.replace('"m"', "'m'").replace("import math\n", "import math\n\n\n"),
        CODE.replace(
            '{**{}, "a": None, 1: ""}',
            '{\n        **{},\n        "a": None, 1: "",\n    }',
        ),
    ]
    assert {digest(tmp_path / "a.py", text) for text in same} == {before}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 3", "size: int = 4"),
        ("size: int = 3", "size: int = 3.0"),
        ("size: int = 3", "size: float = 3"),
        ("size: int = 3", 'size: int = "3"'),
        ("r**2", "r**-2"),
        ("r**2", "r*2"),
        ('"a": None', '"a": ""'),
        ("{**{},", "{**[],"),
        ("1: ", "True: "),
        (".{names", "1.{names"),
        ("!r", "!s"),
        ("(Exception)", ""),
        ("r: float, unit", "unit, r: float"),
        ("import math", "import cmath as math"),
    ],
)
def test_each_change_of_code_changes_the_digest(tmp_path, old, new):
    assert digest(tmp_path / "a.py", CODE) != digest(
        tmp_path / "a.py", CODE.replace(old, new)
    )


def test_ranges_to_tune_change_no_digest_of_their_class(tmp_path):
    bare = "class A:\n    lr = 1\n"
    stated = f"{bare}    tuning_ranges = {{'lr': {{'uniform': [1, 2]}}}}\n"
    assert digest(tmp_path / "a.py", stated) == digest(tmp_path / "a.py", bare)
    elsewhere = f"tuning_ranges = 1\n{bare}"
    assert digest(tmp_path / "a.py", elsewhere) != digest(tmp_path / "a.py", bare)


def test_a_docstring_does_not_stand_for_pass(tmp_path):
    bodies = ["pass", '"""Doc."""', '"""Doc."""\n    pass', "..."]
    digests = {
        digest(tmp_path / "a.py", f"class A:\n    {body}\n") for body in bodies
    }
    assert len(digests) == 1


PYTHONS = [
    found
    for name in ("3.11", "3.12", "3.13")
    if (found := shutil.which(f"python{name}"))
]


@pytest.mark.skipif(len(PYTHONS) < 2, reason="needs two versions of Python")
def test_all_versions_of_python_agree(tmp_path):
    (tmp_path / "odd.py").write_text(CODE, encoding="utf-8")
    script = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('reading', sys.argv[1])\n"
        "reading = sys.modules['reading'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(reading)\n"
        "for file in sys.argv[2:]: print(file, reading.read(pathlib.Path(file)).digest)\n"
    )
    files = [str(tmp_path / "odd.py"), *map(str, sorted(HERE.rglob("*.py")))]
    printed = set()
    for python in PYTHONS:
        command = [python, "-c", script, reading.__file__, *files]
        done = subprocess.run(command, capture_output=True, text=True)
        if "is not installed" in done.stderr or "command not found" in done.stderr:
            continue  # a version manager's empty shell
        assert done.returncode == 0, done.stderr
        printed.add(done.stdout)
    assert len(printed) == 1


def test_a_file_is_parsed_once_and_again_after_it_was_written(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    os.utime(path, ns=(0, 1_000_000_000))  # long ago
    before = reading.counts["files parsed"]
    first = read(path)
    assert read(path) is first
    assert reading.counts["files parsed"] == before + 1
    path.write_text("x = 2\n")  # as long as before
    assert ast.unparse(read(path).tree) == "x = 2"


def test_two_writes_within_a_tick_of_the_clock_are_told_apart(tmp_path):
    path = tmp_path / "a.py"
    for n in range(10):
        path.write_text(f"x = {n}\n")
        assert ast.unparse(read(path).tree) == f"x = {n}"


def test_imports_are_read_wherever_they_stand_but_for_those_of_type_checkers(
    tmp_path,
):
    path = tmp_path / "a.py"
    path.write_text(
        "import a.b, c\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import never\n"
        "else:\n    import always\n"
        "def f():\n    from ..d import e as f, g\n"
    )
    assert read(path).imports == (
        Import(0, "a.b", ()),
        Import(0, "c", ()),
        Import(0, "typing", ("TYPE_CHECKING",)),
        Import(0, "always", ()),
        Import(2, "d", ("e", "g")),
    )


def test_warnings_of_the_compiler_are_left_to_the_import(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('pattern = "\\d"\n')
    assert read(path).imports == ()
