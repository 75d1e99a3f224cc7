"""Who follows first steps and tutorials by copy and paste gets what they show."""

import os
import sys
from pathlib import Path

import pytest
from walking import look_over, walk

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "first_steps.md", *sorted((DOCS / "tutorials").glob("*.md"))]


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request, here, monkeypatch):
    if request.param.stem == "figures" and not os.environ.get("SFNBENCH_DATA"):
        pytest.skip("SFNBENCH_DATA does not name a folder; tests download nothing")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return request.param


def test_a_page_s_files_and_commands_are_right(page, sfnbench):
    look_over(page, sfnbench)


@pytest.mark.slow
def test_a_page_is_followed(page, sfnbench):
    walk(page, sfnbench)
