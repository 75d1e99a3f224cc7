"""A short attack: `make attack` is the long one."""

from pathlib import Path

import pytest
from attack import attack


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_finished_is_lost_and_no_number_changes(tmp_path: Path) -> None:
    found = attack(tmp_path, kills=5, n_runs=8, seed=5)
    assert found.complaints == []
    assert sum(found.ways.values()) == 5
    assert found.seen == set(found.expected)
    assert len(found.expected) == 8
