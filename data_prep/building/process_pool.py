"""A pool of processes that end at once if an error is raised, or with this process, even if that is killed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from pipelines.errors import UserError


@contextmanager
def process_pool(n_processes: int, start: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool; each process begins with `start(*arguments)`. Raises `UserError` if a process is killed.

    The processes are not forked from this one: rensa's threads do not survive a fork, and its next call would wait for
    them for ever.
    """
    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    ends_with, keeps_alive = context.Pipe(duplex=False)
    with keeps_alive, ProcessPoolExecutor(n_processes, context, _start, (ends_with, start, arguments)) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            problem = "a process that read rows was killed, usually because memory ran out"
            raise UserError(problem, "use a smaller --num_proc or --max_row_mb") from error
        except BaseException:
            keeps_alive.close()
            raise


def _start(ends_with: Connection, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Set up one process. It ends when the other end of `ends_with` is closed, if by a killed parent.

    Ctrl-C reaches all processes, and is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_when_closed, args=(ends_with,), daemon=True).start()
    start(*arguments)


def _end_when_closed(connection: Connection) -> None:
    wait([connection])
    os._exit(1)
