"""What can go wrong on the way: planted before a request, for the first n requests that match."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One thing that goes wrong. `pattern` is searched in "METHOD /path", the path as sent and without its query.

    `status` is answered in the place of the real answer, with `headers`. `cut_after_bytes` closes the connection when
    so many bytes of the request's body have come, or of the answer's body where the request has none. `lose_answer`
    carries the request out and closes the connection without a word. `seconds_delay` is a pause in the middle of the
    body, before the answer where there is no body. `times` counts down to 0.
    """

    pattern: str
    status: int | None = None
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after_bytes: int | None = None
    lose_answer: bool = False
    seconds_delay: float | None = None


_NO_FAULT = Fault(pattern="", times=0)
_counting = threading.Lock()


def next_fault(faults: list[Fault], request_line: str) -> Fault:
    """The first fault that is left for this request, counted down; one that does nothing where there is none."""
    with _counting:
        for fault in faults:
            if fault.times > 0 and re.search(fault.pattern, request_line):
                fault.times -= 1
                return fault
    return _NO_FAULT
