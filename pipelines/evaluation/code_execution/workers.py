"""Workers that run programs one after the other, each program in a confined child of its own (`confined.nursery`)."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.code_execution.confined.scratch import empty_folder

_HERE = Path(__file__).parent
_SECONDS_TO_END = 10


class WorkerEndedError(UserError):
    """A worker is no longer there to answer."""


class Nursery:
    """A worker that runs one program after the other, each in a confined child of its own."""

    def __init__(self, folder: Path) -> None:
        self._start_in(folder)

    def _start_in(self, folder: Path) -> None:
        self.folder = folder
        start = f"import sys; sys.path.insert(0, {str(_HERE)!r}); "
        start += "from confined.nursery import main; sys.path.pop(0); main(sys.argv[1])"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", start, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # The one variable keeps the C library from reserving address space for every thread.
            env={"MALLOC_ARENA_MAX": "1"},
            cwd="/",
            start_new_session=True,
        )
        self.abilities: dict[str, Any] = self._reply()

    def run(self, program: dict[str, Any]) -> dict[str, Any]:
        """The nursery's reply to one request; see `confined.nursery`. Raises `WorkerEndedError` where it is dead."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the reply that does not come tells
            self._process.stdin.write(json.dumps(program) + "\n")
            self._process.stdin.flush()
        return self._reply()

    def start_again(self) -> None:
        """Start anew after a `WorkerEndedError`, in a new folder beside the old one, which may still be in use.

        Raises `WorkerEndedError` where the new one does not even start.
        """
        self.close()
        self._start_in(Path(tempfile.mkdtemp(dir=self.folder.parent)))

    def close(self) -> None:
        """End the worker, and with it a child that still runs."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerEndedError(
                expected="the worker that runs generated code to stay alive",
                got=f"exit status {self._process.wait()}",
                remedy="see whether the machine ran out of memory, or leave --run_code off",
            )
        reply: dict[str, Any] = json.loads(line)
        return reply


@contextmanager
def nurseries(n_workers: int) -> Iterator[list[Nursery]]:
    """`n_workers` workers with an empty folder each; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="answers-") as base:
        Path(base).chmod(0o711)  # a worker's folder belongs to the children's user
        started: list[Nursery] = []
        try:
            for number in range(n_workers):
                folder = Path(base) / str(number)
                folder.mkdir(mode=0o700)
                started.append(Nursery(folder))
            yield started
        finally:
            for nursery in started:
                nursery.close()
            for folder in Path(base).iterdir():  # of a worker that died; what it holds may be nested without end
                empty_folder(folder)
