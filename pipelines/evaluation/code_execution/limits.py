"""What a run of generated code may take, and what became of it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class RunLimits:
    """Bounds on one answer and its tests together.

    `folder_bytes` counts what has a name. A file that was deleted while it is open (at most 32 are) or mapped takes up
    to `file_bytes` of the disk beside it, until the process ends: open ones 32 times that at most, mapped ones as many
    as can be written in `seconds`.
    """

    seconds: float = 5.0
    memory_bytes: int = 512 * 2**20  # address space, the interpreter's own 60 MB and 64 MB of stack included
    file_bytes: int = 16 * 2**20  # of one file
    folder_bytes: int = 64 * 2**20  # of all files in it; looked at every 50 ms
    n_files: int = 200  # files and folders
    n_threads: int = 16  # holds where the child runs under a user of its own; else memory bounds them

    def to_json(self) -> dict[str, Any]:
        """The limits as the records name them."""
        return asdict(self)


DEFAULT_LIMITS = RunLimits()


class Outcome(StrEnum):
    """How a run ended."""

    PASSED = "passed"
    RAN = "ran"  # without tests to pass
    WRONG = "wrong"  # a test's assertion failed
    ERROR = "error"
    NO_CODE = "no code"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    FILES = "files"
    DENIED = "denied"
    CRASHED = "crashed"
    ENDED = "ended early"


@dataclass(frozen=True)
class RunResult:
    """What became of one answer. `runs`: its code raised nothing; `passes_tests`: None where there are no tests.

    `reason` is short, printable, and in part the generated code's own words.
    """

    runs: bool
    passes_tests: bool | None
    outcome: Outcome
    reason: str
    seconds: float
