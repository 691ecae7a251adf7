"""Reject answers that are none: refusals, and placeholders such as <nooutput> or {{name}}."""

import re
from collections.abc import Sequence

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import Changed, NoOptions, Rejected, RowStep, StepFunction, Verdict
from data_prep.cleaning.steps.answers import is_wanted_answer, request_before
from data_prep.text_rules.refusals import ASKS_FOR_REFUSAL, MAY_BE_REFUSAL, is_refusal


def _refusals(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            # in a pair, which answer is preferred is what a model learns: a refusal may be right
            if (
                MAY_BE_REFUSAL.match(one.text)
                and is_wanted_answer(one)
                and one.column != "chosen"
                and is_refusal(one.text)
                and not ASKS_FOR_REFUSAL.search(request_before(texts, one)[-2000:])
            ):
                return Rejected("refusal")
        return None

    return step


_OPEN, _CLOSE = r"[<(\[{\\\"'`]*\s*", r"[\\>)\]}\"'`.,;:?]*"
_INPUT = rf"{_OPEN}no[ _-]?inputs?e?\s*(?:is )?(?:required|needed|provided|given|necessary)?{_CLOSE}"
_PLACEHOLDER_INPUT = re.compile(rf"\s*(?:{_INPUT}|<?(?:n/a|none)>?\.?)\s*\Z", re.IGNORECASE)
_PLACEHOLDER_OUTPUT = re.compile(
    rf"\s*(?:{_INPUT}|[<\[(]\s*no[ _-]?output[^\n]{{0,200}}|no[ _-]?output(?: (?:required|needed|given|expected))?\.?"
    r"|n/a\.?|[<\[]\s*(?:removed|deleted|insert [^>\]\n]{0,40})\s*[>\]])\s*\Z",
    re.IGNORECASE,
)
# the input's placeholder before an answer
_LEADING_INPUT = re.compile(r"\s*<\s*no ?input\s*>[.,:]?\s*(?:output:\s*)?(?=\S)", re.IGNORECASE)
_MAX_PLACEHOLDER = 220
_ABOUT_PLACEHOLDERS = re.compile(r"n/a\b|not applicable|no ?output|print|execut", re.IGNORECASE)

_FIELD = re.compile(r"\{\{ ?[A-Za-z_]{2,30} ?\}\}")
_ABOUT_TEMPLATES = re.compile(
    r"\{\{|templat|placeholder|jinja|mustache|handlebars|vue|angular|django|flask|html|helm|ansible|liquid|latex|code"
    r"|component|variable",
    re.IGNORECASE,
)
_CODE = re.compile(r"```|[;<>=]|\{%|\b(?:def|class|import|function)\b")


def _placeholders(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        n_inputs, new = 0, None
        for place, one in enumerate(texts):
            text = one.text
            if one.role == "input":
                cleaned = "" if 0 < len(text) <= _MAX_PLACEHOLDER and _PLACEHOLDER_INPUT.match(text) else text
            elif one.role == "assistant" and is_wanted_answer(one):
                if (rejected := _placeholder_answer(texts, one)) is not None:
                    return rejected
                cleaned = _LEADING_INPUT.sub("", text, count=1) if _LEADING_INPUT.match(text) else text
            else:
                continue
            if cleaned is not text:
                n_inputs += 1
                new = new or [other.text for other in texts]
                new[place] = cleaned
        return None if new is None else Changed(new, {"placeholder_input": n_inputs})

    return step


def _placeholder_answer(texts: Sequence[RowText], answer: RowText) -> Rejected | None:
    text = answer.text
    if len(text) <= _MAX_PLACEHOLDER and _PLACEHOLDER_OUTPUT.match(text):
        is_right = _ABOUT_PLACEHOLDERS.search(request_before(texts, answer))
        return None if is_right else Rejected("placeholder_output")
    field = _FIELD.search(text) if "{{" in text else None
    if field is None or _CODE.search(text) or _ABOUT_TEMPLATES.search(request_before(texts, answer)):
        return None
    return Rejected("unfilled_template", {"field": field.group()})


STEPS: list[RowStep] = [
    RowStep("refusals", 'rejects answers that only refuse, such as "As an AI language model, I cannot"', _refusals),
    RowStep("placeholders", 'rejects answers such as <nooutput>, empties inputs such as "No input"', _placeholders),
]
