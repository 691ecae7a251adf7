"""The errors that a user can cause, worded as expected / got / do this."""

from collections.abc import Sequence
from functools import partial
from typing import Any


class UserError(Exception):
    """Wrong use or bad input: printed as one line on stderr, exit code 2.

    `expected` says what the program needed, `got` what it found, `remedy` what the user can do about it. `message` is
    the whole line where those three parts would not make a plain sentence. `finding` is the doctor's name for the fault
    where it is one of the recipe or the rows, such as END_TOKEN_NOT_TRAINED.
    """

    exit_code = 2

    def __init__(
        self, *, expected: str, got: str, remedy: str, message: str | None = None, finding: str | None = None
    ) -> None:
        self.expected, self.got, self.remedy, self.message, self.finding = expected, got, remedy, message, finding
        super().__init__(message or f"expected {expected}; got {got}; {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes, and keyword arguments do not on their own."""
        words = {"expected": self.expected, "got": self.got, "remedy": self.remedy}
        return partial(type(self), message=self.message, finding=self.finding, **words), ()


class AnswerIsNo(Exception):
    """The program ran and its answer is no (findings, a refused merge): exit code 1."""

    exit_code = 1


def raise_together(problems: Sequence[UserError], place: str) -> None:
    """Raise all `problems` as one `UserError`, so that a user fixes the recipe at `place` once."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserError(
            expected=f"no problems in {place}",
            got=str(len(problems)),
            remedy="; ".join(problem.remedy for problem in problems),
            message=f"{len(problems)} problems in {place}: "
            + "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1)),
        )
