"""One answer and all that it is checked against: the input of every metric in `registry`."""

from dataclasses import dataclass
from functools import cached_property

from pipelines.evaluation.metrics.constraints import Constraint, follows
from pipelines.evaluation.metrics.language import looks_like_code
from pipelines.evaluation.metrics.python_answer import PythonChecks, RequestedFunction, python_checks
from pipelines.evaluation.metrics.reference_answer import n_reference_words

MAX_SHORT_REFERENCE_WORDS = 10


@dataclass(frozen=True)
class CheckedAnswer:
    """An answer and what it is checked against. `references` are all right answers, `number` is the expected number,
    `requested` the Python function that the instruction asks for, `has_tests` whether the prompt has tests of code."""

    text: str
    n_tokens: int = 0
    stopped: bool = False
    instruction: str = ""
    input: str = ""
    references: tuple[str, ...] = ()
    number: str | None = None
    constraints: tuple[Constraint, ...] = ()
    requested: RequestedFunction | None = None
    has_tests: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the answer has no text but white space."""
        return not self.text.strip()

    @property
    def prompt(self) -> str:
        """The instruction and the input."""
        return f"{self.instruction}\n{self.input}"

    @cached_property
    def python(self) -> PythonChecks | None:
        """The Python checks of the answer, None if the instruction asks for no function."""
        return python_checks(self.text, self.requested) if self.requested else None

    @property
    def asks_for_code(self) -> bool:
        """Whether the prompt names a Python function or has tests."""
        return self.has_tests or self.requested is not None

    @cached_property
    def is_about_text(self) -> bool:
        """Whether there is an answer, and the prompt neither asks for code nor is code, which an answer may repeat."""
        return not (self.is_empty or self.asks_for_code or looks_like_code(self.prompt))

    @cached_property
    def given_references(self) -> list[str]:
        """The references that have text."""
        return [reference for reference in self.references if reference.strip()]

    @cached_property
    def prose_references(self) -> list[str]:
        """The references to compare word by word: none where code is asked for."""
        return [] if self.asks_for_code else self.given_references

    @cached_property
    def short_references(self) -> list[str]:
        """The same where all have at most 10 words: longer answers are never equal to a reference."""
        is_short = all(n_reference_words(one) <= MAX_SHORT_REFERENCE_WORDS for one in self.given_references)
        return self.prose_references if is_short else []

    @cached_property
    def followed(self) -> list[bool]:
        """Whether the answer follows each constraint."""
        return [follows(self.text, constraint) for constraint in self.constraints]
