"""The errors that a user can cause, worded as expected / got / do this."""

from functools import partial
from typing import Any


class UserError(Exception):
    """Wrong use or bad input: printed as one line on stderr, exit code 2.

    `expected` says what the program needed, `got` what it found, `remedy` what the user can do about it. `finding` is
    the doctor's name for the fault where it is one of the recipe or the rows, such as END_TOKEN_NOT_TRAINED.
    """

    exit_code = 2

    def __init__(self, *, expected: str, got: str, remedy: str, finding: str | None = None) -> None:
        self.expected, self.got, self.remedy, self.finding = expected, got, remedy, finding
        super().__init__(f"expected {expected}; got {got}; {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes, and keyword arguments do not by themselves."""
        words = {"expected": self.expected, "got": self.got, "remedy": self.remedy}
        return partial(type(self), finding=self.finding, **words), ()


class AnswerIsNo(Exception):
    """The program ran and its answer is no (findings, a refused merge): exit code 1."""

    exit_code = 1


def raise_together(problems: list[UserError]) -> None:
    """Raise all `problems` as one `UserError`, so that a user mends a file once and not once for each mistake."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserError(
            expected=f"a recipe without mistakes (found {len(problems)})",
            got=" | ".join(f"({number}) expected {p.expected}, got {p.got}" for number, p in enumerate(problems, 1)),
            remedy=" | ".join(f"({number}) {p.remedy}" for number, p in enumerate(problems, 1)),
        )
