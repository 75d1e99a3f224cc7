"""Ctrl-C that arrives where Python drops what is raised."""

import signal
import sys

import pytest

from sfnbench.session.engines._server import ctrl_c_remembered


class PressedAtTheEnd:
    """Presses Ctrl-C while it is destroyed."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def dropped(monkeypatch):
    """What Python drops."""
    found = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda info: found.append(info.exc_type)
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield found
    signal.signal(signal.SIGINT, before)


def test_a_dropped_one_is_raised_again(dropped):
    with ctrl_c_remembered() as heed_ctrl_c:
        heed_ctrl_c()  # nothing was pressed yet
        PressedAtTheEnd()
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            heed_ctrl_c()
        heed_ctrl_c()  # once is enough
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_is_not_dropped_is_raised_at_once(dropped):
    with pytest.raises(KeyboardInterrupt), ctrl_c_remembered():
        signal.raise_signal(signal.SIGINT)
    assert not dropped
