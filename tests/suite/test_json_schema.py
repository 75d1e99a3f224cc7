"""The JSON schema of suites: what ships is valid by it, mistakes are not."""

import copy
import json

import pytest
import yaml

from sfnbench.members.registry import shipped
from sfnbench.suite.json_schema import json_schema

jsonschema = pytest.importorskip(
    "jsonschema", reason="needs the package jsonschema"
)
HEADER = "# yaml-language-server: $schema=schema.json"
SUITES = sorted(shipped("suites").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def numbers(value):
    """The same with 1e-3 as the number that YAML 1.2, and so an editor, reads."""
    if isinstance(value, dict):
        return {key: numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [numbers(each) for each in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_suites_that_ship_are_valid_and_name_the_schema(validator, path):
    text = path.read_text()
    assert text.splitlines()[0] == HEADER
    assert [
        e.message for e in validator.iter_errors(numbers(yaml.safe_load(text)))
    ] == []


def test_the_schema_that_ships_is_the_one_that_is_printed():
    assert (
        json.loads((shipped("suites") / "schema.json").read_text()) == json_schema()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"bugdet": {"steps": 3}},
        {"seeds": "many"},
        {"budget": {"stops": 3}},
        {"optimizers": [{}]},
    ],
)
def test_mistakes_are_found(validator, change):
    suite = {
        "problems": ["monkey_saddle"],
        "optimizers": [{"use": "sfn"}],
        "seeds": 2,
    }
    assert validator.is_valid(suite)
    assert not validator.is_valid(copy.deepcopy(suite) | change)
