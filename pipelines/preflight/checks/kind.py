"""What a check is."""

from collections.abc import Callable, Iterator

from pipelines.preflight.check_context import CheckContext
from pipelines.records.finding import Finding

Check = Callable[[CheckContext], Iterator[Finding]]
