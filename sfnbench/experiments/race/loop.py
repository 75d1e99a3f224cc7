"""The loop of a race: some seeds advance together until each has ended or the budget is used up."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ...records import Status
from ..checkpoints import Checkpoint, Kept
from ..draws import Draws
from ..progress import Progress
from ..setup import Setup
from .blocks import Block, Stepper, synchronise
from .limits import Limits, steps_in
from .outcomes import ITSELF, Outcomes
from .recording import N_PATHS, Every, Recording


def advance(
    setup: Setup,
    seeds: tuple[int, ...],
    settings: Mapping[str, Any],
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> tuple[Recording, Outcomes]:
    """The history and the outcomes of these seeds, from where `checkpoint` has them."""
    limits = Limits.of(setup, settings)
    starts = setup.starts(seeds)
    recording = Recording(
        setup.problem, _every(setup, settings), starts, N_PATHS if setup.is_plane else 0
    )
    outcomes = Outcomes(setup.problem, starts, recording.start_losses, limits)
    trajectories = setup.trajectories(starts, seeds)
    stepper = Stepper(setup, trajectories, Draws(setup, seeds))
    race = _Race(recording, outcomes, stepper)
    checkpoint = checkpoint or Checkpoint()
    part = f"from seed {seeds[0]}"
    try:
        race.restore(checkpoint.part(part))
        while outcomes.going.any() and _is_left(limits, recording, stepper):
            most = limits.steps - recording.n_steps
            block = stepper.advance(most, outcomes.going, outcomes.is_used_up)
            if block is None:
                outcomes.finish(recording.n_steps, ITSELF, Status.STOPPED)
                outcomes.message = trajectories.stopped or ""
                break
            going = outcomes.going
            _take_in(block, recording, outcomes)
            outcomes.is_fixed[going] = trajectories.is_fixed()[going]
            trajectories.park(~outcomes.going)
            done = recording.n_steps / limits.steps
            checkpoint.offer(part, race.kept)
            progress(min(1.0, max(done, float(stepper.seconds.max()) / limits.seconds)))
    finally:
        trajectories.close()
    if trajectories.ended:
        recording.recount(trajectories.calls, trajectories.passes)
    over = recording.n_steps >= limits.steps
    outcomes.finish(recording.n_steps, limits.steps_from if over else "seconds")
    checkpoint.offer(part, race.kept, is_done=True)
    return recording, outcomes


@dataclass(frozen=True)
class _Race:
    """All that changes while a race goes on."""

    recording: Recording
    outcomes: Outcomes
    stepper: Stepper

    def kept(self) -> Kept | None:
        """Its state; None where the optimizer's is out of sight."""
        stepper = self.stepper.kept()
        if stepper is None:
            return None
        kept = {"recording": self.recording.kept(), "outcomes": self.outcomes.kept()}
        return {**kept, "stepper": stepper}

    def restore(self, kept: Kept | None) -> None:
        """Go on from there; None: from the start."""
        if kept is not None:
            self.recording.restore(kept["recording"])
            self.outcomes.restore(kept["outcomes"])
            self.stepper.restore(kept["stepper"])


def warm_up(setup: Setup, seeds: tuple[int, ...]) -> float:
    """One step on copies, thrown away: first calls of kernels are several times slower.

    Returns the seconds that it took.
    """
    began = perf_counter()
    with contextlib.suppress(
        Exception
    ):  # the race itself meets any error again, and reports it
        trajectories = setup.trajectories(setup.starts(seeds), seeds)
        trajectories.step(*Draws(setup, seeds).next())
        trajectories.close()
        synchronise(setup.device)
    return perf_counter() - began


def _is_left(limits: Limits, recording: Recording, stepper: Stepper) -> bool:
    """Whether steps and seconds are left."""
    return recording.n_steps < limits.steps and stepper.seconds.max() < limits.seconds


def _take_in(block: Block, recording: Recording, outcomes: Outcomes) -> None:
    first = recording.n_steps + 1
    costs = outcomes.limits.costs(block.passes)  # (n, S)
    losses, due = recording.add(block, costs, outcomes.going)
    outcomes.add(first, block.points, costs, losses, due)


def _every(setup: Setup, settings: Mapping[str, Any]) -> dict[str, Every]:
    """How far apart each metric is measured; the loss at every step unless the suite says other."""
    every: dict[str, Every] = {"loss": 1}
    for name, given in settings["metrics"]:
        if isinstance(given, int):  # steps, as earlier results of format 3 have them
            every[name] = given
        elif "steps" in given:
            every[name] = int(given["steps"])
        elif "epochs" in given:
            every[name] = steps_in(setup, given["epochs"])
        else:
            every[name] = {"cost": given["cost"]}
    return every
