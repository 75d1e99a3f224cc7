"""One run after another by all processes that torchrun has started, each with a part of the data.

Process 0 reads the suite and stores results; the others execute what it sends them.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any

from ...errors import SfnbenchError
from ...records import Result, Run, Status
from . import Conditions, RunProgress
from .inline import attempt

PATIENCE = timedelta(days=1)  # one process may measure alone for hours
HOW = "torchrun --nproc-per-node 2 -m sfnbench run SUITE --engine ranks"
_executing = [False]


def is_first() -> bool:
    """Whether this process is number 0; all meet here. SfnbenchError without torchrun."""
    import torch
    import torch.distributed as dist

    if "RANK" not in os.environ:
        raise SfnbenchError(f"the engine 'ranks' is started by torchrun: {HOW}")
    if not dist.is_initialized():
        kind = "gloo"
        if torch.cuda.is_available():
            kind = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group(kind, timeout=PATIENCE)
        atexit.register(_leave)
    return dist.get_rank() == 0


def ranks(
    runs: Iterable[Run],
    conditions: Conditions,
    on_progress: RunProgress | None = None,
) -> Generator[Result, None, None]:
    """Execute the runs by all processes; this one is number 0."""
    if not is_first():
        raise SfnbenchError(f"only process 0 of torchrun has a suite to run: {HOW}")
    for run in runs:
        _check_fits(run)
        progress = None
        if on_progress:
            progress = partial(on_progress, run)
        _sent((run, replace(conditions, options={})))
        yield _by_all(run, conditions, progress)


def execute_orders() -> None:
    """Execute what process 0 sends, until it has no more."""
    while (order := _sent(None)) is not None:
        run, conditions = order
        # process 0 writes the state of a long run, and all read it
        _by_all(run, replace(conditions, checkpoint_s=inf), None)


def end_process(code: int) -> None:
    """End this process at once where torchrun has started it, and do nothing elsewhere.

    Where it ended step by step, C++ aborted it now and then, whether it had left its group or not.
    """
    dist = sys.modules.get("torch.distributed")
    if dist is None or not dist.is_initialized():
        return
    _dismiss_others()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # it may be closed
            stream.flush()
    os._exit(code)


def _check_fits(run: Run) -> None:
    if run.experiment != "race":
        raise SfnbenchError(
            f"{run.title}: the engine 'ranks' sums what a race asks, and this is "
            f"{run.experiment}; choose another engine"
        )
    if run.settings["budget"]["seconds"] is not None:
        raise SfnbenchError(
            f"{run.title}: a budget of seconds would end each process at another step; "
            "the engine 'ranks' takes steps, epochs or cost"
        )


def _by_all(run: Run, conditions: Conditions, progress: Any) -> Result:
    """The result; an error where processes came to different numbers."""
    import torch.distributed as dist

    from ...core.ranks import Ranks, shared_by

    ours = Ranks(dist.get_world_size(), dist.get_rank())
    _executing[0] = True
    with shared_by(ours):
        result = attempt(run, conditions, progress)
    found: list[Any] = [None] * ours.n
    dist.all_gather_object(found, _stored_numbers(result))
    _executing[0] = False
    facts = {"ranks": ours.n, "summed_bytes": ours.n_bytes}
    result = replace(result, environment={**result.environment, **facts})
    if any(each != found[0] for each in found):
        log = f"{result.log}the processes of torchrun came to different numbers\n"
        return replace(result, status=Status.ERROR, log=log)
    return result


def _stored_numbers(result: Result) -> list[tuple[str, str]]:
    rows = [
        (name, repr(value))
        for row in result.rows
        for name, value in row.items()
        if "seconds" not in name
    ]
    return [("status", str(result.status)), *rows]


def _sent(order: Any) -> Any:
    """What process 0 gives, in every process."""
    import torch.distributed as dist

    box = [order]
    dist.broadcast_object_list(box)
    return box[0]


def _leave() -> None:
    """A script's process ends its threads, or C++ may abort it at exit."""
    import torch.distributed as dist

    _dismiss_others()
    dist.destroy_process_group()


def _dismiss_others() -> None:
    """Process 0 tells the others that there is no more; within a run they notice its end."""
    import torch.distributed as dist

    if dist.get_rank() == 0 and not _executing[0]:
        _sent(None)
