"""Programs in processes of their own that need not import torch each: a process that has the libraries forks for each.

    python -m tests.program_server

In: one JSON array a line on stdin, a {program, arguments, folder, environment, stdout, stderr} for each process that
runs at the same time. Out: their exit codes as a JSON array, a line on stdout. The project's own modules are imported
by each program itself, from the files as they are.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

_LIBRARIES = (
    "torch", "datasets", "peft", "transformers.models.auto.modeling_auto", "transformers.trainer", "trl.scripts.utils",
    "trl.trainer.sft_trainer", "trl.trainer.dpo_trainer",
)  # fmt: skip
_MAX_SECONDS = 600
_CHANGES = "PYTEST_CURRENT_TEST"  # with each test, and no program reads it


class ProgramServer:
    """A process that forks for each program. Libraries read the environment when they are imported, so `serves` says
    whether it is still that of the start."""

    def __init__(self, project: Path) -> None:
        self._environment = _lasting(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def serves(self) -> bool:
        """Whether a program that starts now would find the environment that the libraries were imported in."""
        return _lasting(os.environ) == self._environment

    def run(
        self, program: Path, arguments: Sequence[str], folder: Path, n_processes: int = 1
    ) -> "subprocess.CompletedProcess[str]":
        """What the program left, or its ranks one after the other; what takes longer than 10 minutes ends with the
        signal ALRM."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            outputs = [Path(name) / f"stdout.{rank}" for rank in range(n_processes)]
            errors = [Path(name) / f"stderr.{rank}" for rank in range(n_processes)]
            call = {"program": program, "arguments": arguments, "folder": folder}
            ranks = zip(outputs, errors, _ranks(n_processes), strict=True)
            request = [{**call, "stdout": out, "stderr": err, "environment": rank} for out, err, rank in ranks]
            print(json.dumps(request, default=str), file=self._process.stdin, flush=True)
            exit_codes = json.loads(self._process.stdout.readline())
            stdout, stderr = ("".join(path.read_text(encoding="utf-8") for path in kind) for kind in (outputs, errors))
        return subprocess.CompletedProcess([str(program), *arguments], max(exit_codes, key=abs), stdout, stderr)


def _ranks(n_processes: int) -> list[dict[str, str]]:
    """What `torchrun` and `accelerate launch` put into the environment of each rank; nothing for a single process."""
    if n_processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(n_processes))
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(n_processes)]


def _lasting(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != _CHANGES}


def _next_request() -> dict[str, Any] | None:
    """In the process of a program what it shall do; None in the server, at the end."""
    for line in sys.stdin:
        children = []
        for request in json.loads(line):
            child = os.fork()
            if child == 0:
                return dict(request)
            children.append(child)
        statuses = [os.waitpid(child, 0)[1] for child in children]
        print(json.dumps([os.waitstatus_to_exitcode(status) for status in statuses]), flush=True)
    return None


def _become(
    program: str, arguments: list[str], folder: str, environment: dict[str, str], stdout: str, stderr: str
) -> None:  # fmt: skip
    """Run the program as `python PROGRAM ARGUMENTS` in `folder` would."""
    signal.alarm(_MAX_SECONDS)
    os.environ.update(environment)
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in (stdout, stderr)]
    for number, place in enumerate([nothing, *written]):
        os.dup2(place, number)
    sys.argv = [program, *arguments]
    sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # what all programs share is never looked through
    wanted = _next_request()
    if wanted is not None:
        _become(**wanted)
