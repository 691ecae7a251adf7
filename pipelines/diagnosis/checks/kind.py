"""What a check is."""

from collections.abc import Callable, Iterator

from pipelines.diagnosis.case import Case
from pipelines.diagnosis.finding import Finding

Check = Callable[[Case], Iterator[Finding]]
