"""Members are found by being there; what is wrong with one is said, and stops no other."""

import os
import subprocess
import sys
import textwrap

import pytest

from sfnbench.errors import PluginError
from sfnbench.members import plugins, registry
from sfnbench.members.reading import counts

METHOD = '''
"""A method."""
from dataclasses import dataclass
from sfnbench import Optimizer, Positive, register

@register("{name}")
@dataclass(frozen=True, kw_only=True)
class Method(Optimizer):
    """One line.

    More lines.
    """
    lr: Positive = 0.5
    n_rounds: int = 3

    def step(self, oracle, theta, state):
        return theta - self.lr * oracle.grad(theta), state
'''


def test_a_file_is_a_member(plugin):
    path = plugin("optimizers", "my_method", METHOD.format(name="my_method"))
    member = registry.find("optimizer", "my_method")
    assert (member.path, member.summary, member.error, member.where) == (
        path,
        "One line.",
        None,
        "plugin",
    )
    assert [(f.name, f.annotation, f.default) for f in member.fields] == [
        ("lr", "Positive", "0.5"),
        ("n_rounds", "int", "3"),
    ]
    built = registry.build("optimizer", "my_method", {"lr": 2})
    assert (built.lr, built.n_rounds, type(built).name) == (2.0, 3, "my_method")
    assert "my_method" not in registry.members("problem")


def test_a_plugin_may_be_a_lone_file_or_lie_in_a_folder_of_both_kinds(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(plugins, "_added", [])
    for name in ("alone", "in_folder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(METHOD.format(name=name))
    registry.add_plugins(tmp_path / "alone" / "alone.py")
    registry.add_plugins(tmp_path / "in_folder")
    assert {"alone", "in_folder"} <= registry.members("optimizer").keys()
    assert not {"alone", "in_folder"} & registry.members("problem").keys()


def test_listing_runs_no_plugin(plugin):
    plugin(
        "optimizers",
        "loud",
        "raise SystemExit('was run')\n" + METHOD.format(name="loud"),
    )
    assert registry.find("optimizer", "loud").error is None
    with pytest.raises(SystemExit):
        registry.load(registry.find("optimizer", "loud"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Method(:\n", "line 1: invalid syntax"),
        (
            METHOD.format(name="other"),
            "registered as 'other', but the file is called broken.py",
        ),
        (
            METHOD.format(name="broken").replace('@register("broken")', ""),
            "lacks @register('broken')",
        ),
        (
            "import not_installed_anywhere\n" + METHOD.format(name="broken"),
            "needs the package 'not_installed_anywhere'",
        ),
    ],
)
def test_a_broken_plugin_is_listed_as_broken_and_stops_nothing(
    plugin, source, message
):
    path = plugin("optimizers", "broken", source)
    members = registry.members("optimizer")
    assert message in members["broken"].error
    assert members["sfn"].error is None
    with pytest.raises(PluginError, match=str(path)):
        registry.load(members["broken"])


def test_an_import_that_raises_is_said_with_its_line(plugin):
    path = plugin(
        "optimizers", "raises", METHOD.format(name="raises") + "\n\n1 / 0\n"
    )
    n_lines = len(path.read_text().splitlines())
    with pytest.raises(
        PluginError,
        match=rf"{path}:{n_lines}: cannot be imported: ZeroDivisionError: division by zero",
    ):
        registry.load(registry.find("optimizer", "raises"))


def test_two_files_of_one_name_clash_and_are_both_named(plugin):
    path = plugin("optimizers", "sfn", METHOD.format(name="sfn"))
    with pytest.raises(
        PluginError, match="two optimizers are called 'sfn'"
    ) as raised:
        registry.members("optimizer")
    assert str(path) in str(raised.value)
    assert str(registry.HERE / "optimizers" / "sfn.py") in str(raised.value)


def test_an_unknown_name_has_a_near_one():
    with pytest.raises(
        PluginError, match=r"unknown optimizer 'sfnn' \(did you mean 'sfn'\?\)"
    ):
        registry.find("optimizer", "sfnn")


def test_a_class_that_is_neither_is_refused():
    expected = "derives from no Optimizer, Problem, Finder or Metric"
    with pytest.raises(PluginError, match=expected):
        registry.register("thing")(type("Thing", (), {}))


def test_entry_points_are_members(tmp_path):
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "raise RuntimeError('listing imports nothing')"
    )
    (package / "methods.py").write_text(METHOD.format(name="theirs"))
    info = tmp_path / "their_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their_package\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text(
        "[sfnbench.optimizers]\ntheirs = their_package.methods:Method\n"
    )
    code = f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        from sfnbench.members import registry
        member = registry.find("optimizer", "theirs")
        if member.class_name != "Method":
            assert (member.summary, member.where) == ("", "package"), member
        assert "torch" not in sys.modules
        open({str(package / "__init__.py")!r}, "w").close()
        assert registry.load(member).name == "theirs"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_what_is_wrong_with_an_entry_point_is_listed_and_the_rest_works(tmp_path):
    files = {
        "sound/__init__.py": "",
        "sound/deep/__init__.py": "",
        "sound/deep/own_name.py": METHOD.format(name="good").replace(
            "Positive = 0.5", "Positive = HALF"
        )
        + "\nclass Bare(Optimizer): pass\n",
        "sound/deep/_half.py": "HALF = 0.5\n",
        "needy/__init__.py": "import not_installed_anywhere\n",
        "needy/methods.py": METHOD.format(name="needy"),
        "sound-1.dist-info/entry_points.txt": "[sfnbench.optimizers]\n"
        "good = sound.deep.own_name:Method\n"
        "bare = sound.deep.own_name:Bare\n"
        "gone = sound.deep.own_name:Gone\n"
        "nowhere = sound.missing:Method\n"
        "needy = needy.methods:Method\n",
        "sound-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: sound\nVersion: 1\n",
    }
    files["sound/deep/own_name.py"] = (
        "from ._half import HALF\n" + files["sound/deep/own_name.py"]
    )
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        from pathlib import Path
        from sfnbench.members import identity, registry
        found = registry.members("optimizer")
        said = {{
            "bare": "lacks @register('bare')",
            "gone": "has no class 'Gone'",
            "nowhere": "no such module",
            "needy": "package needy: line 1: needs the package 'not_installed_anywhere'",
        }}
        for name, why in said.items():
            assert why in found[name].error, found[name]
        assert found["good"].error is None and found["sfn"].error is None
        assert registry.build("optimizer", "good", {{}}).lr == 0.5
        before = identity.source_hash("optimizer", "good", {{}})
        half = Path({str(tmp_path)!r}, "sound", "deep", "_half.py")
        half.write_text("HALF = 0.25\\n")
        assert identity.source_hash("optimizer", "good", {{}}) != before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_listing_imports_no_torch():
    code = (
        "import sys; from sfnbench.members import registry; registry.members('optimizer'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_plugin_written_or_edited_between_two_calls_is_found(plugin):
    with pytest.raises(PluginError, match="unknown optimizer 'later'"):
        registry.find("optimizer", "later")
    path = plugin("optimizers", "later", METHOD.format(name="later"))
    assert registry.build("optimizer", "later", {}).lr == 0.5
    path.write_text(path.read_text().replace("0.5", "0.4"))
    assert registry.build("optimizer", "later", {}).lr == 0.4
    path.unlink()
    with pytest.raises(PluginError, match="unknown optimizer 'later'"):
        registry.find("optimizer", "later")


def test_a_second_look_parses_nothing_and_scans_nothing(plugin):
    path = plugin("optimizers", "seen", METHOD.format(name="seen"))
    os.utime(path, ns=(0, 1_000_000_000))  # long ago
    for kind in registry.KINDS:
        registry.members(kind)
    before = dict(counts)
    for kind in registry.KINDS:
        registry.members(kind)
    registry.find("optimizer", "seen")
    assert dict(counts) == before


def test_finding_one_member_reads_no_other():
    code = """
        from sfnbench.members import registry
        from sfnbench.members.reading import counts
        registry.find("optimizer", "sfn")
        assert counts["files parsed"] <= 1, counts
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
