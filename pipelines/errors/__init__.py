"""The errors that a user can cause, worded as expected / got / do this."""


class UserError(Exception):
    """Wrong use or bad input: printed as one line on stderr, exit code 2.

    `expected` says what the program needed, `got` what it found, `remedy` what the user can do about it.
    """

    exit_code = 2

    def __init__(self, *, expected: str, got: str, remedy: str) -> None:
        self.expected, self.got, self.remedy = expected, got, remedy
        super().__init__(f"expected {expected}; got {got}; {remedy}")


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
