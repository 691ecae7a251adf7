"""What TRL, transformers, PEFT and their optional packages refuse, as one line with all of their message."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import UserError

# What these libraries raise for values that they do not take.
LIBRARY_ERRORS = (
    ImportError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, AssertionError,
    ArithmeticError,
)  # fmt: skip
_MAX_CHARACTERS = 800


def message_of(error: BaseException) -> str:
    """All of a library's message on one line."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # a KeyError's text is quoted
    return " ".join(str(said).split())[:_MAX_CHARACTERS] or type(error).__name__


@contextmanager
def explain_library_errors(problem: str, fix: str) -> Iterator[None]:
    """Raise what a library refuses as a `UserError` that quotes it."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        raise UserError(f"{problem}: {message_of(error)}", fix) from error
