"""The description of a metric: name, unit, direction, group. No torch, no models."""

from dataclasses import dataclass
from enum import StrEnum


class Aspect(StrEnum):
    """The three questions of a summary, one line each. `form`: does the model answer in the right shape, with an end.
    `correctness`: is the answer right. `lost`: what did it forget or memorize."""

    FORM = "form"
    CORRECTNESS = "correctness"
    LOST = "lost"


class Group(StrEnum):
    """What a metric measures; the report shows one table for each."""

    STOPPING = "stopping and length"
    TEXT = "text of the answer"
    INSTRUCTION = "what the instruction asked for"
    REFERENCE = "agreement with the reference"
    PYTHON = "Python"
    EXECUTION = "running the code"
    LIKELIHOOD = "likelihood of the reference"
    BEYOND = "forgetting and memorization"
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
    "neither"; the values of an `is_flag` metric are yes or no, so its figure is a share with Wilson's interval."""

    name: str
    label: str
    unit: str
    better: str
    meaning: str
    group: Group = Group.TEXT
    is_flag: bool = False
