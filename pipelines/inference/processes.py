"""The same measurement on several processes: each takes its share of the items, all get all results."""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from pipelines.errors import UserError

_MAX_WAIT = timedelta(days=1)  # a share of the prompts may take longer than the 10 minutes that NCCL waits by default
T = TypeVar("T")
R = TypeVar("R")


def processes() -> PartialState:
    """The processes that `accelerate launch` started, or this one alone."""
    return PartialState(cpu=not torch.cuda.is_available(), timeout=_MAX_WAIT)


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints; known before torch has met the others."""
    return os.environ.get("RANK", "0") == "0"


def measured_by_all(items: Sequence[T], measure: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """`measure` of `items`, one result each, in their order; process r of n measures items r, r + n, r + 2n, ...

    Every process has to call this with equal items, and gets all results. A `UserError` of one is raised by all, so
    that none waits for a process that has left.
    """
    state = processes()
    if state.num_processes == 1:
        return list(measure(items))
    own: list[R] = []
    refusal: UserError | None = None
    try:
        own = list(measure(items[state.process_index :: state.num_processes]))
    except UserError as error:
        refusal = error
    shares = gather_object([(own, refusal)])
    for _, refused in shares:
        if refused is not None:
            raise refused
    placed: dict[int, R] = {}
    for rank, (share, _) in enumerate(shares):
        placed |= zip(range(rank, len(items), state.num_processes), share, strict=True)
    return [placed[number] for number in range(len(items))]
