"""What a figure is: its name, its unit, which way it improves, what it is a figure of. No torch, no models."""

from dataclasses import dataclass
from enum import StrEnum


class Aspect(StrEnum):
    """Which of the three questions about a model a metric answers, one line of a summary each.

    `form`: does it answer as asked: an answer, in the right shape, with an end. `correctness`: is the answer right.
    `lost`: what can it no longer do, or has learned by heart.
    """

    FORM = "form"
    CORRECTNESS = "correctness"
    LOST = "lost"


class Group(StrEnum):
    """What a metric looks at; the report shows one table for each."""

    STOPPING = "stopping and length"
    TEXT = "text of the answer"
    INSTRUCTION = "what the instruction asked for"
    REFERENCE = "agreement with the reference"
    PYTHON = "Python"
    EXECUTION = "running the code"
    LIKELIHOOD = "likelihood of the reference"
    BEYOND = "beyond the task"
    JUDGE = "judge"

    @property
    def aspect(self) -> Aspect:
        """The aspect of all metrics of the group."""
        if self in (Group.STOPPING, Group.TEXT, Group.PYTHON):
            return Aspect.FORM
        return Aspect.LOST if self is Group.BEYOND else Aspect.CORRECTNESS


@dataclass(frozen=True)
class MetricDefinition:
    """A metric. `unit` is "share", "bits_per_byte", "tokens", "words" or "ratio"; `better` "higher", "lower" or
    "neither"; `is_flag` says that its values are yes or no, so that its figure is a share with Wilson's interval."""

    name: str
    label: str
    unit: str
    better: str
    meaning: str
    group: Group = Group.TEXT
    is_flag: bool = False
