"""Work with several processes: each takes a share of the items, or one does it, and all get all results."""

import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from pipelines.errors import UserError

_MAX_WAIT = timedelta(days=1)  # a share of the prompts may take longer than the 10 minutes that NCCL waits by default
T = TypeVar("T")
R = TypeVar("R")


def processes() -> PartialState:
    """The processes of `accelerate launch`, or this one."""
    return PartialState(cpu=not torch.cuda.is_available(), timeout=_MAX_WAIT)


def is_main_process() -> bool:
    """Whether this process writes and prints; known before torch connects the processes."""
    return os.environ.get("RANK", "0") == "0"


def log(line: str) -> None:
    """Print `line` to stderr once, not in every process."""
    if is_main_process():
        print(line, file=sys.stderr, flush=True)


def made_once(make: Callable[[], T]) -> T:
    """What `make` returns on rank 0, on every rank.

    Every process must call this. All raise a `UserError` of rank 0, so that none waits for a process that has left.
    """
    state = processes()
    if state.num_processes == 1:
        return make()
    answer: list[Any] = [None, None]  # what was made, or why not
    if state.process_index == 0:
        try:
            answer[0] = make()
        except UserError as error:
            answer[1] = error
    made, failure = broadcast_object_list(answer)
    if failure is not None:
        raise failure
    return cast("T", made)


def measured_by_all(items: Sequence[T], measure: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """`measure` all `items`, one result each, in order; process r of n measures items r, r + n, r + 2n, ...

    Every process must call this with equal items, and gets all results. All raise a `UserError` of one, so that none
    waits for a process that has left.
    """
    state = processes()
    if state.num_processes == 1:
        return list(measure(items))
    own: list[R] = []
    failure: UserError | None = None
    try:
        own = list(measure(items[state.process_index :: state.num_processes]))
    except UserError as error:
        failure = error
    shares = gather_object([(own, failure)])
    for _, one_failure in shares:
        if one_failure is not None:
            raise one_failure
    placed: dict[int, R] = {}
    for rank, (share, _) in enumerate(shares):
        placed |= zip(range(rank, len(items), state.num_processes), share, strict=True)
    return [placed[number] for number in range(len(items))]
