"""Reject rows without an answer to learn from: empty, continued with another task, cut off in the middle."""

import re
from collections.abc import Sequence

from data_prep.cleaning.row_texts import RowText
from data_prep.cleaning.step import NoOptions, Rejected, RowStep, StepFunction, Verdict
from data_prep.conversation import SYSTEM_ROLES, trailing_turn_start

NOT_LEARNED = ("prompt", "rejected")  # columns of a pair
_MAY_BE_EMPTY = ("input", "system", "prompt")
_REQUEST_ROLES = ("user", "input", *SYSTEM_ROLES)


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
    if all(_is_blank(one.text) for one in messages[: answers[0]] if one.role in ("user", "assistant", "tool")):
        return "empty_prompt"
    trained = (messages[place] for place in answers if messages[place].is_trained)
    return "empty_output" if any(_is_blank(one.text) and not one.has_calls for one in trained) else None


def is_wanted_answer(one: RowText) -> bool:
    """Whether a text is an answer that a model learns to give: not context, and not the rejected one of a pair."""
    return one.role == "assistant" and one.is_trained and one.column not in NOT_LEARNED


def request_before(texts: Sequence[RowText], answer: RowText) -> str:
    """Return what an answer replies to: all texts of system, user and input before it."""
    before = texts[: next(place for place, one in enumerate(texts) if one is answer)]
    return "\n\n".join(one.text for one in before if one.role in _REQUEST_ROLES)


def _runs_on(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            if is_wanted_answer(one) and _has_a_header(text := one.text):
                start = trailing_turn_start(request_before(texts, one), text)
                if start is not None:
                    return Rejected("runs_on", {"at": start})
        return None

    return step


def _has_a_header(text: str) -> bool:
    """Whether the text may have a header that `trailing_turn_start` looks for: a cheap test, most texts have none."""
    if not ("\n" in text and ":" in text):
        return "<" in text
    if "<" in text or "Q" in text:
        return True
    return "Instruction" in text or "Human" in text or "User" in text or "Task:" in text or "Problem" in text


# Words that end no English sentence. "An" ends German ones and "a" is a grade, so the text must be English prose.
_NEVER_LAST = frozenset({
    "a", "an", "the", "and", "or", "but", "because", "than", "their", "our", "my", "your", "if", "which", "into",
    "although", "whose", "every",
})  # fmt: skip
_AFTER_COMMA = frozenset({"and", "or", "but", "because", "which", "if", "although"})  # others are words of a list
_BEGINS_A_SENTENCE = re.compile(
    r"[a-z)\"”][.!?] (?:The|A|An|In|For|This|These|It|They|He|She|We|However|Additionally|To|With|As|If|When|By|Our)\Z"
)
_IS_ENGLISH = re.compile(r" (?:the|of|is|and|to) ")
_MIN_WORDS = 8  # in the last line: lists, letters of notes and code have short ones
_ITEM = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]+\w", re.MULTILINE)
_MARK = re.compile(r"\s*(?:\d{1,2}[.)]|[-*•])")
_MIN_WORDS_BEFORE_A_MARK = 4
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
_LAST_CHARACTERS = 400


def _cut_off(_: NoOptions) -> StepFunction:
    def step(texts: Sequence[RowText]) -> Verdict:
        for one in texts:
            if is_wanted_answer(one) and ends_in_the_middle(one.text):
                return Rejected("cut_off")
        return None

    return step


def ends_in_the_middle(text: str) -> bool:
    """Whether an answer stops in the middle: English prose after a word like "the", a list's mark without an item, or
    fenced code in open brackets.

    Most text that was cut is not recognized: lists, titles, poems and chat end without a period too.
    """
    end = text[-_LAST_CHARACTERS:].rstrip()
    last = end[-1:]
    if last.isalpha():
        if _ends_in_a_sentence(end):
            return True
    elif last in ".)-*•" and _ends_in_a_mark(end) and _ITEM.search(text):
        return True
    if "```" in text and text.count("```") % 2:
        fences = list(_FENCE.finditer(text))
        code = text[fences[-1].end() :] if len(fences) % 2 else ""
        return sum(map(code.count, "([{")) > sum(map(code.count, ")]}"))
    return False


def _ends_in_a_sentence(end: str) -> bool:
    line = end[end.rfind("\n") + 1 :]
    before, _, word = line.rpartition(" ")
    if before.endswith(",") and word not in _AFTER_COMMA:
        return False
    if word not in _NEVER_LAST and not _BEGINS_A_SENTENCE.search(line):
        return False
    return len(line.split()) >= _MIN_WORDS and _IS_ENGLISH.search(line) is not None


def _ends_in_a_mark(end: str) -> bool:
    """Whether the last line is the mark of a list's item alone, after a line of words."""
    before, _, line = end.rpartition("\n")
    if not _MARK.fullmatch(line):
        return False
    words = before.rstrip().rpartition("\n")[2].split()
    return sum(any(map(str.isalpha, word)) for word in words) >= _MIN_WORDS_BEFORE_A_MARK


STEPS: list[RowStep] = [
    RowStep("empty", "rejects rows with an empty answer, request or document", _empty),
    RowStep("runs_on", "rejects answers that continue with another task or turn", _runs_on),
    RowStep("cut_off", "rejects answers that stop in the middle of a sentence or of fenced code", _cut_off),
]
