"""What a check is."""

from collections.abc import Callable, Iterator

from pipelines.preflight.check_context import Case
from pipelines.records.finding import Finding

Check = Callable[[Case], Iterator[Finding]]
