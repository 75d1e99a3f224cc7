"""The loop of a race: some seeds advance together until each has ended or the budget is used up."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from ...records import Status
from ...trajectories.trajectories import Trajectories
from ..checkpoints import Checkpoint, Kept
from ..draws import Draws
from ..progress import Progress
from ..setup import Setup
from .blocks import Stepper, synchronise
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
    race = _Race.of(setup, seeds, settings)
    checkpoint = checkpoint or Checkpoint()
    part = f"from seed {seeds[0]}"
    try:
        race.restore(checkpoint.part(part))
        while race.goes_on and race.takes_a_block():
            checkpoint.offer(part, race.kept)
            progress(race.done)
    finally:
        race.trajectories.close()
    race.finish()
    checkpoint.offer(part, race.kept, is_done=True)
    return race.recording, race.outcomes


@dataclass(frozen=True)
class _Race:
    """All that changes while a race goes on."""

    recording: Recording
    outcomes: Outcomes
    trajectories: Trajectories
    stepper: Stepper

    @classmethod
    def of(
        cls, setup: Setup, seeds: tuple[int, ...], settings: Mapping[str, Any]
    ) -> _Race:
        """A race of these seeds, at its start."""
        limits = Limits.of(setup, settings)
        starts = setup.starts(seeds)
        n_paths = N_PATHS if setup.is_plane else 0
        every = _every(setup, settings)
        recording = Recording(setup.problem, every, starts, n_paths)
        outcomes = Outcomes(setup.problem, starts, recording.start_losses, limits)
        trajectories = setup.trajectories(starts, seeds)
        stepper = Stepper(setup, trajectories, Draws(setup, seeds))
        return cls(recording, outcomes, trajectories, stepper)

    @property
    def goes_on(self) -> bool:
        """Whether a trajectory goes on, and steps and seconds are left."""
        limits = self.outcomes.limits
        has_steps = self.recording.n_steps < limits.steps
        has_seconds = self.stepper.seconds.max() < limits.seconds
        return bool(self.outcomes.going.any() and has_steps and has_seconds)

    @property
    def done(self) -> float:
        """The share of the budget that is used."""
        limits = self.outcomes.limits
        steps = self.recording.n_steps / limits.steps
        return min(
            1.0, max(steps, float(self.stepper.seconds.max()) / limits.seconds)
        )

    def takes_a_block(self) -> bool:
        """Advance by a block; False where the optimizer has stopped by itself."""
        outcomes = self.outcomes
        going = outcomes.going
        most = outcomes.limits.steps - self.recording.n_steps
        block = self.stepper.advance(most, going, outcomes.is_used_up)
        if block is None:
            outcomes.finish(self.recording.n_steps, ITSELF, Status.STOPPED)
            outcomes.message = self.trajectories.stopped or ""
            return False
        first = self.recording.n_steps + 1
        costs = outcomes.limits.costs(block.passes)  # (n, S)
        counting = going & ~outcomes.limits.is_exceeded(costs)
        losses, due = self.recording.add(block, costs, counting)
        outcomes.add(first, block.points, costs, losses, due)
        outcomes.is_fixed[going] = self.trajectories.is_fixed()[going]
        self.trajectories.park(~outcomes.going)
        return True

    def finish(self) -> None:
        """End what still goes on."""
        if self.trajectories.ended:
            self.recording.recount(
                self.trajectories.calls, self.trajectories.passes
            )
        limits = self.outcomes.limits
        is_over = self.recording.n_steps >= limits.steps
        limit = limits.steps_from if is_over else "seconds"
        self.outcomes.finish(self.recording.n_steps, limit)

    def kept(self) -> Kept | None:
        """Its state; None where the optimizer's is out of sight."""
        stepper = self.stepper.kept()
        if stepper is None:
            return None
        kept = {
            "recording": self.recording.kept(),
            "outcomes": self.outcomes.kept(),
        }
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
    # the race itself meets any error again, and reports it
    with contextlib.suppress(Exception):
        trajectories = setup.trajectories(setup.starts(seeds), seeds)
        trajectories.step(*Draws(setup, seeds).next())
        trajectories.close()
        synchronise(setup.device)
    return perf_counter() - began


def _every(setup: Setup, settings: Mapping[str, Any]) -> dict[str, Every]:
    """How far apart each metric is measured; the loss at every step unless the suite says other."""
    every: dict[str, Every] = {"loss": 1}
    for name, given in settings["metrics"]:
        # an integer counts steps, in earlier results of format 3
        if isinstance(given, int):
            every[name] = given
        elif "steps" in given:
            every[name] = int(given["steps"])
        elif "epochs" in given:
            every[name] = steps_in(setup, given["epochs"])
        else:
            every[name] = {"cost": given["cost"]}
    return every
