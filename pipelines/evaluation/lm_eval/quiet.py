"""lm-evaluation-harness without its chatter: what it warns of becomes a few counted notes, the rest is not printed."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import datasets

_NOTES = {
    "Truncating": "a prompt did not fit into the model and was cut at its left",
    "Left truncation": "a batch of prompts did not fit into the model and was cut at its left",
    "Failed to apply chat template": "a prompt lost its system message, which the chat template refuses",
    "Label index was not in": "an item names a right answer that is none of its choices",
    "overrides existing task": "a task of --include_path stands for one of the harness",
    "not scored on the same number": "a task has metrics over different numbers of items",
}


class _Counting(logging.Handler):
    """Counts the warnings that change a figure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self.counts.update(words for sign, words in _NOTES.items() if sign in message)


@contextmanager
def quiet_harness() -> Iterator[Counter[str]]:
    """What happens inside prints nothing but, on a terminal, progress bars; yields the notes and how often each fell.

    Standard errors are bootstrapped in this process: the harness would start one for each core.
    """
    os.environ.setdefault("DISABLE_MULTIPROC", "1")
    logger = logging.getLogger("lm_eval")
    counting = _Counting()
    was_propagating, logger.propagate = logger.propagate, False
    logger.addHandler(counting)
    is_terminal = sys.stderr.isatty()
    if not is_terminal:
        datasets.disable_progress_bars()
    try:
        shown = sys.stderr if is_terminal else StringIO()
        with redirect_stdout(shown), redirect_stderr(shown):
            yield counting.counts
    finally:
        logger.removeHandler(counting)
        logger.propagate = was_propagating
