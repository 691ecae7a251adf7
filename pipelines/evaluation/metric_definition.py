"""What a figure is: its name, its unit, which way it improves, what it is a figure of. No torch, no models."""

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """What a metric looks at; the report shows one table for each."""

    STOPPING = "stopping and length"
    TEXT = "text of the answer"
    INSTRUCTION = "what the instruction asked for"
    REFERENCE = "agreement with the reference"
    PYTHON = "Python"
    LIKELIHOOD = "likelihood of the reference"
    BEYOND = "beyond the task"
    JUDGE = "judge"


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
