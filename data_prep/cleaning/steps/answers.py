"""Reject rows without an answer to learn from: empty, running on into another task, cut off, refusals, placeholders."""

from collections.abc import Sequence

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import NoOptions, Rejected, RowStep, StepFunction, Verdict
from data_prep.conversation import SYSTEM_ROLES

_MAY_BE_EMPTY = ("input", "system", "prompt")


def _empty(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            if one.column == "messages":
                reason = _reason_empty_conversation([one for one in texts if one.column == "messages"])
                return None if reason is None else Rejected(reason)
            if _is_blank(one.text) and one.column not in _MAY_BE_EMPTY and not one.has_calls:
                return Rejected(f"empty_{one.column}")
        return None

    return step


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _reason_empty_conversation(messages: Sequence[RowText]) -> str | None:
    """Return `no_answer`, `empty_prompt` (nothing before the first answer) or `empty_output` (a trained turn)."""
    # a greeting as the first message is context
    answers = [place for place, one in enumerate(messages) if place and one.role == "assistant"]
    if not answers:
        return "no_answer"
    if all(_is_blank(one.text) for one in messages[: answers[0]] if one.role not in (*SYSTEM_ROLES, "reasoning")):
        return "empty_prompt"
    trained = (messages[place] for place in answers if messages[place].is_trained)
    return "empty_output" if any(_is_blank(one.text) and not one.has_calls for one in trained) else None


STEPS: list[RowStep] = [
    RowStep("empty", "rejects rows with an empty answer, request or document", _empty),
]
