"""The errors that a user can cause: what is wrong, with the value; what was expected; the fix."""

import errno
from collections.abc import Sequence
from functools import partial
from typing import Any

_NO_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "bad_alloc", "_ALLOC_FAILED")


class UserError(Exception):
    """Wrong use or bad input: printed as one line on stderr, exit code 2.

    `problem` says what is wrong, with the value, and what was expected ("top_p is 0.0, expected above 0 and at most
    1"); `fix` says what to do. `finding` is the doctor's id for the problem, such as END_TOKEN_NOT_TRAINED.
    """

    exit_code = 2

    def __init__(self, problem: str, fix: str | None = None, *, finding: str | None = None) -> None:
        self.problem, self.fix, self.finding = problem, fix, finding
        super().__init__(f"{problem}; {fix}" if fix else problem)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the keyword arguments too: errors are sent between processes."""
        return partial(type(self), self.problem, self.fix, finding=self.finding), ()


class MachineFailure(UserError):
    """The disk or a process failed, not the run: once that is mended, the same command can continue it."""


class Diverged(UserError):
    """The training would fail again with the same keys and rows, so it cannot be continued with them."""


class AnswerIsNo(Exception):
    """The program ran, and the result is negative (findings, a rejected merge): exit code 1."""

    exit_code = 1


class Stopped(Exception):
    """The run was stopped from outside and can be continued: printed as one line."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is that of an allocator: of Python, the system, PyTorch on a processor, or an accelerator."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(one in said for one in _NO_MEMORY)
    )


def raise_together(problems: Sequence[UserError], place: str) -> None:
    """Raise all `problems` of the recipe at `place` as one `UserError`."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        numbered = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        raise UserError(f"{len(problems)} problems in {place}: {numbered}")
