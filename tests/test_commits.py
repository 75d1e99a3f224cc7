"""Two commits against each other: a slow commit is told from a busy machine."""

from commits import compared, control

CALM = (1.0, 1.02, 0.97, 1.05, 0.99)


def rounds(*units, cost=10.0):
    """A round for each of these times of one run, in units of the control."""
    return [{"escape sfn": {"units": each, "cost": cost}} for each in units]


def test_equal_commits_report_nothing():
    assert compared(rounds(*CALM), rounds(*reversed(CALM)), 1.3) == []


def test_a_slower_commit_is_reported():
    slow = [1.5 * each for each in CALM]
    (line,) = compared(rounds(*CALM), rounds(*slow), 1.3)
    assert line.startswith("escape sfn: 1.5")
    assert compared(rounds(*slow), rounds(*CALM), 1.3) == []


def test_two_disturbed_rounds_of_five_are_no_slower_commit():
    disturbed = [3.0, 1.02, 0.97, 2.5, 0.99]
    assert compared(rounds(*CALM), rounds(*disturbed), 1.3) == []


def test_a_run_that_costs_more_is_reported_whatever_it_takes():
    (line,) = compared(rounds(*CALM), rounds(*CALM, cost=11.0), 1.3)
    assert line == "escape sfn: 11 instead of 10"
    assert compared(rounds(*CALM), rounds(*CALM, cost=10.3), 1.3) == []


def test_a_run_that_one_commit_lacks_is_left_out():
    other = [{"training sfn": {"units": 9.0, "cost": 9.0}}] * 5
    assert compared(rounds(*CALM), other, 1.3) == []


def test_the_control_takes_time():
    assert control() > 0
