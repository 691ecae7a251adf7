"""What a cleaning step is: a named function over the texts of one row, with options from the steps file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_prep.cleaning.row_texts import RowText


@dataclass(frozen=True, slots=True)
class Rejected:
    """The row is left out. `reason` is a word such as `empty_output`; `details` go into the row's line of
    rejected.jsonl. With `is_secret` the row's content does not."""

    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """The row's new texts, in the order they were given, and what was changed how often, such as {"email": 2}.
    With `is_secret` no excerpt of the old text is written."""

    texts: Sequence[str]
    counts: Mapping[str, int]
    is_secret: bool = False


Verdict = Rejected | Changed | None
StepFunction = Callable[[Sequence[RowText]], Verdict]


@dataclass(frozen=True)
class NoOptions:
    """A step without options."""


@dataclass(frozen=True)
class RowStep:
    """A step that looks at one row at a time.

    `options` is a frozen dataclass whose fields are the keys of the steps file. `make` gets an instance and returns the
    function; it is called once in every process, and raises `UserError` for options that cannot be used.
    """

    name: str
    description: str
    make: Callable[[Any], StepFunction]
    options: type = NoOptions
