"""What a run prints takes little disk, however much it is."""

import pytest

from sfnbench.session.engines._logs import MOST_ON_DISK, free_middle, read_log


def test_the_middle_of_a_long_output_is_given_back(tmp_path):
    output = tmp_path / "output"
    with output.open("wb", buffering=0) as file:
        file.write(b"begin" + b"x" * 2 * MOST_ON_DISK + b"end")
        before = read_log(output)
        free_middle(output)
        if output.stat().st_blocks * 512 > MOST_ON_DISK:
            pytest.skip("this file system makes no holes")
        assert read_log(output) == before
        file.write(b" and more")
    assert output.stat().st_size == 2 * MOST_ON_DISK + 17
    said = read_log(output)
    assert said.startswith("begin")
    assert said.endswith("end and more")


def test_a_short_output_and_none_stay(tmp_path):
    output = tmp_path / "output"
    free_middle(output)
    output.write_bytes(b"short")
    free_middle(output)
    assert output.read_bytes() == b"short"
