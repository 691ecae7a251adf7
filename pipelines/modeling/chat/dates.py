"""Templates with today's date: pin the day of a run, so that the same text can be rendered later."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError

_NOW = re.compile(r"strftime_now\(\s*(?:'([^']*)'|\"([^\"]*)\")\s*\)")


def writes_date(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template writes the current date."""
    return _NOW.search(str(tokenizer.chat_template or "")) is not None


def pin_date(
    tokenizer: PreTrainedTokenizerBase, wished: str | None, record: dict[str, Any] | None = None
) -> str | None:
    """Render with the day `wished` (YYYY-MM-DD; None: today) from now on, and write it into `record`. Returns it, None
    if the template writes no date. Raises `UserError` for an invalid date.
    """
    if not writes_date(tokenizer):
        return None
    try:
        day = date.fromisoformat(wished) if wished else date.today()
    except ValueError as error:
        raise UserError(f"template_date is {wished}, expected YYYY-MM-DD", "write it as 2026-01-31") from error
    tokenizer.template_date = day.isoformat()
    if record is not None:
        record["template_date"] = day.isoformat()
    return day.isoformat()


def dated_template(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Any] | None) -> str | None:
    """The template with the pinned day, None if no day was pinned."""
    pinned = getattr(tokenizer, "template_date", None)
    if pinned is None:
        return None
    day = date.fromisoformat(pinned)
    template = tokenizer.get_chat_template(None, list(tools) if tools else None)
    return _NOW.sub(lambda found: repr(day.strftime(found.group(1) or found.group(2) or "")), template)
