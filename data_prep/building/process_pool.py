"""A pool of processes that end at once if an error is raised, or with this process, even if that is killed."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from pipelines.errors import UserError


@contextmanager
def process_pool(n_processes: int, start: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool; each process begins with `start(*arguments)`. Raises `UserError` if a process is killed.

    A forked process begins at once; others import everything again, which takes half a second.
    """
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    ends_with, keeps_alive = context.Pipe(duplex=False)
    inherited = keeps_alive if context.get_start_method() == "fork" else None
    with (
        keeps_alive,
        ProcessPoolExecutor(n_processes, context, _start, (ends_with, inherited, start, arguments)) as pool,
    ):
        try:
            yield pool
        except BrokenProcessPool as error:
            problem = "a process that read rows was killed, usually because memory ran out"
            raise UserError(problem, "use a smaller --num_proc or --max_row_mb") from error
        except BaseException:
            keeps_alive.close()
            raise


def _start(
    ends_with: Connection, inherited: Connection | None, start: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """Set up one process. It ends when the other end of `ends_with` is closed, if by a killed parent.

    `inherited` is that other end in a forked process. Ctrl-C reaches all processes, and is left to the parent.
    """
    if inherited is not None:
        inherited.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_when_closed, args=(ends_with,), daemon=True).start()
    start(*arguments)


def _end_when_closed(connection: Connection) -> None:
    wait([connection])
    os._exit(1)
