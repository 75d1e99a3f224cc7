"""What tests of sessions share: a folder to work in, with a suite of their own."""

import pytest
from tuned_suites import SUITE


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Work in a folder with a suite of this text in it."""
    monkeypatch.chdir(tmp_path)

    def write(text=SUITE, name="s.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write
