import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import sfnbench
from sfnbench.suite.yaml_nodes import (
    MAX_DEPTH,
    MAX_VALUES,
    Issue,
    Mark,
    Node,
    parse,
)

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=8
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
)


def plain(text: str) -> object:
    root, issues = parse(text)
    assert issues == []
    assert root is not None
    return root.plain()


@given(JSON)
def test_json_means_the_same_as_to_a_json_parser(value: object) -> None:
    assert plain(json.dumps(value, ensure_ascii=False)) == value


@given(st.lists(SCALARS | TEXT, min_size=1))
def test_every_value_is_at_the_position_it_says(values: list[object]) -> None:
    text = json.dumps({"a": {"b": values}}, indent=3, ensure_ascii=False)
    root, _ = parse(text)
    assert root is not None
    nodes = root.content["a"].content["b"].content
    lines = text.split("\n")
    for node, value in zip(nodes, values, strict=True):
        assert lines[node.at.line - 1][node.at.column - 1 :].rstrip(
            ","
        ) == json.dumps(value, ensure_ascii=False)
    inner = root.content["a"].keys["b"]
    assert lines[inner.line - 1][inner.column - 1 :].startswith('"b"')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.e-3", 0.001),
        ("1E5", 1e5),
        ("-1.5e+2", -150.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("+5", 5),
        *[
            (word, word)
            for word in ("on", "off", "yes", "no", "y", "n", "On", "NO", "Y")
        ],
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        *[
            (word, word)
            for word in (
                "1:30",
                "190:20:30",
                "012",
                "0o7",
                "0x1F",
                "0b1",
                "1_000",
                "2014-06-10",
                "=",
                "<<",
            )
        ],
        ("'1e-3'", "1e-3"),
        ("!!str 12", "12"),
        ("!!float 1", 1.0),
        ("5e", "5e"),
        (".", "."),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    found = plain(f"a: {text}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_merge_keys_bring_in_what_is_not_given() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc: {<<: [*a, *b], y: 5}\nd: {<<: *b}"
    root = plain(text)
    assert root["c"] == {"x": 1, "y": 5, "z": 4}  # type: ignore[index]
    assert root["d"] == {"x": 3, "z": 4}  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1), "duplicate key 'a' (first on line 1)"),
        ("x: {b: 2, b: 2}", (1, 11), "duplicate key 'b' (first on line 1)"),
        ("? [a]\n: 1", (1, 3), "a key must be text"),
        ("a: {{b}}", (1, 5), "a key must be text"),
        ("<<: 3", (1, 5), "<< must be given a mapping or a list of mappings"),
        (
            "a: !!python/object/apply:os.system [ls]",
            (1, 4),
            "unknown tag !!python/object/apply:os.system",
        ),
        ("a: !mine {}", (1, 4), "unknown tag !mine"),
        ("a: !!int ten", (1, 4), "'ten' is not of the type !!int"),
        ("a: .inf", (1, 4), "a number must be finite and within 64 bits, not .inf"),
        (
            "a: -.Inf",
            (1, 4),
            "a number must be finite and within 64 bits, not -.Inf",
        ),
        ("a: .nan", (1, 4), "a number must be finite and within 64 bits, not .nan"),
        (
            "a: 1e999",
            (1, 4),
            "a number must be finite and within 64 bits, not 1e999",
        ),
        (
            f"a: {2**63}",
            (1, 4),
            f"a number must be finite and within 64 bits, not {2**63}",
        ),
        (
            "a: " + "9" * 5000,
            (1, 4),
            f"a number must be finite and within 64 bits, not {'9' * 40}",
        ),
        (r'a: "\ud800"', (1, 4), "half of a surrogate pair is not a character"),
        (
            r'"\ud83d\ude00": 1',
            (1, 1),
            "half of a surrogate pair is not a character",
        ),
    ],
)
def test_what_is_wrong_with_a_value_is_said_where_it_is(
    text: str, at: tuple[int, int], message: str
) -> None:
    root, issues = parse(text)
    assert root is not None
    assert issues == [Issue(Mark(*at), message)]


@pytest.mark.parametrize(
    ("text", "at", "part"),
    [
        ("a: b: c", (1, 5), "mapping values are not allowed here"),
        ("a: 1\nb: [1, 2\nc: 3", (3, 2), "expected ',' or ']'"),
        ("a:\n\tb: 1", (2, 1), "a tab cannot indent, use spaces"),
        ("a: *nothing", (1, 4), "undefined alias 'nothing'"),
        ("a: 1\n---\nb: 2", (2, 1), "another document"),
        ("ab: \x00", (1, 5), "character #x0000"),
        (r'a: "\Uffffffff"', (1, 7), "out of range"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1", (1, 9), "out of range"),
    ],
)
def test_what_is_not_yaml_is_one_issue_with_a_position(
    text: str, at: tuple[int, int], part: str
) -> None:
    root, [issue] = parse(text)
    assert root is None
    assert issue.at == Mark(*at)
    assert part in issue.message


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 40)
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(),
        "&a [*a]",
        "a: &a {b: *a}",
        "[" * 50_000,
        "{" * 50_000,
        "- " * 50_000,
        "? " * 5000,
        "a:\n" + " " * 10**5,
    ],
    ids=[
        "bomb",
        "cycle",
        "cycle in a mapping",
        "flow lists",
        "flow mappings",
        "block lists",
        "keys",
        "spaces",
    ],
)
def test_the_work_on_hostile_yaml_is_bounded(text: str) -> None:
    """Counted in function calls, which no machine makes more of.

    100 for each value that aliases may write out.
    """
    with calls_at_most(100 * MAX_VALUES):
        root, issues = parse(text)
    assert (root is None) == bool(issues)


@contextmanager
def calls_at_most(most: int) -> Iterator[None]:
    """Fail when functions, of Python or of C, are called more often."""
    n = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal n
        n += event in ("call", "c_call")
        assert n <= most, f"more than {most} function calls"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)


def test_nesting_is_bounded_and_the_bound_is_usable() -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    assert parse(nested(MAX_DEPTH))[1] == []
    assert "nested more than" in parse(nested(MAX_DEPTH + 1))[1][0].message


@given(
    st.text() | st.text(st.sampled_from("ab:-?[]{},&*!|>'\"%@`# \n\t<0.e1~\\Uu"))
)
def test_no_text_raises(text: str) -> None:
    root, issues = parse(text)
    assert all(issue.message for issue in issues)
    if root is not None:
        json.dumps(root.plain())
        assert all(
            1 <= mark.line <= len(text.splitlines()) + 1 for mark in root.marks()
        )


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing", "---\n# nothing"])
def test_no_document_is_no_issue(text: str) -> None:
    root, issues = parse(text)
    assert issues == []
    assert root is None or root.content is None


@given(JSON, JSON)
def test_override_agrees_with_a_merge_of_plain_dicts(
    base: object, patch: object
) -> None:
    def merge(a: object, b: object) -> object:
        if isinstance(a, dict) and isinstance(b, dict):
            return {
                key: merge(a[key], b[key])
                if key in a and key in b
                else b.get(key, a.get(key))
                for key in {**a, **b}
            }
        return b

    def node(value: object) -> Node:
        root, _ = parse(json.dumps(value, ensure_ascii=False))
        assert root is not None
        return root

    assert node(base).override(node(patch)).plain() == merge(base, patch)


def test_override_keeps_the_positions_of_both() -> None:
    root, _ = parse("base: {x: 1, y: 2}\nover: {y: 3, z: 4}")
    assert root is not None
    merged = root.content["base"].override(root.content["over"])
    assert {name: mark.line for name, mark in merged.keys.items()} == {
        "x": 1,
        "y": 2,
        "z": 2,
    }
    assert set(root.content["over"].marks()) == {
        Mark(2, 7),
        Mark(2, 8),
        Mark(2, 11),
        Mark(2, 14),
        Mark(2, 17),
    }


SUITES = sorted((Path(sfnbench.__file__).parent.parent / "suites").glob("*.yaml"))


@pytest.mark.skipif(
    not yaml.__with_libyaml__, reason="PyYAML was built without libyaml"
)
@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_libyaml_reads_what_pyyaml_reads(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, texts and positions."""
    text = file.read_text("utf-8").encode("ascii", "replace").decode()
    fast, issues = parse(text)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    slow, also = parse(text)
    assert fast is not None
    assert slow is not None
    assert issues == also == []
    pairs = zip(fast.nodes(), slow.nodes(), strict=True)
    for one, other in pairs:
        assert (one.at, one.text, one.keys) == (other.at, other.text, other.keys)
    assert fast.plain() == slow.plain()
