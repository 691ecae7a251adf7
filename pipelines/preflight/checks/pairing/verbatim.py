"""Checks for a prompt that has its answer in it, and for an answer that repeats its prompt.

Tasks that copy from the prompt are no fault: an extracted answer is surrounded by other text in each row, and what is
left of a request to correct or repeat a text is the same in each row once the text is taken out. An answer that a
template put into the prompt has the same surroundings in most rows and leaves a question of its own.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.modeling.chat.dropped_content import END_OF_THOUGHT
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.evidence import Check, excerpt, head, severity_by_share, share_of
from pipelines.preflight.checks.pairing.exchange import Exchange, exchanges_of
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding

_MIN_ANSWER = 40  # bytes: shorter ones are labels, choices and names
_MIN_ROWS = 3
_SURROUNDINGS = 8  # characters before and after an answer that a template repeats
_SAME, _OWN = 0.5, 0.5  # of the prompts with their answer: one place in a template; a remainder of their own
_LARGE = 1 / 3  # of a prompt is its answer: they were joined, whatever is before it
_NOT_SMALL = 0.15  # of the prompts are their answers: one field of a form (the subject of a letter) is less
_LEAKS_ERROR, _LEAKS = 0.5, 0.1  # of the long answers; real sets with extraction have up to 2.5%

_MIN_PROMPT = 20  # bytes: shorter prompts are greetings, which answers may repeat
_HEADER = 60  # characters that may be before the repeated prompt: "Question:"
_REPEATS_ERROR, _REPEATS = 0.5, 0.05  # of the answers; 0.1% of real ones begin with the whole prompt
# what is to be continued, and not answered: code, and text that breaks off
_CODE = re.compile(
    r"[{};=`]|^\s*(?:def|class|import|from|function|public|#include|SELECT|async)\b|\"\"\"", re.MULTILINE
)
_ENDS_A_SENTENCE = re.compile(r"[.?!:。？！；：؟।]['\"”’)\]]*\s*\Z")


class _Leak(NamedTuple):
    """An answer in its prompt: what is next to it on its line, lines above and below, and the prompt without it."""

    exchange: Exchange
    before: str
    after: str
    n_above: int
    n_below: int
    remainder: str
    share: float


def prompt_and_answer(context: CheckContext) -> Iterator[Finding]:
    """ANSWER_IN_PROMPT and PROMPT_IN_ANSWER: one of the two has the other in it, word for word."""
    if context.stage is Stage.PRETRAIN:
        return
    exchanges = list(exchanges_of(context, context.train.rows))
    yield from _answers_in_prompts(exchanges)
    yield from _prompts_in_answers(exchanges)


def _answers_in_prompts(exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    long = [one for one in exchanges if _is_long(one.answer.strip(), _MIN_ANSWER)]
    leaks = [leak for one in long if (leak := _leak(one)) is not None]
    if len(leaks) < max(_MIN_ROWS, _LEAKS * len(long)) or not _come_from_a_template(leaks):
        return
    yield Finding(
        "ANSWER_IN_PROMPT",
        severity_by_share(len(leaks), len(long), error=_LEAKS_ERROR),
        summary=f"{share_of(len(leaks), len(long))} longer answers are in their own prompts, word for word and at the "
        "same place of the prompt",
        why="the model learns to copy the answer, which no prompt has once it is served",
        remedy="build the prompts again without the answer column, or remove these rows",
        evidence=tuple(
            Evidence(_shown(one.exchange), one.exchange.row.number, "train") for one in leaks[:MAX_EVIDENCE]
        ),
        n_rows=len({one.exchange.row.number for one in leaks}),
    )


def _leak(one: Exchange) -> _Leak | None:
    answer = one.answer.strip()
    begin = one.asked.rfind(answer)
    if begin < 0:
        return None
    before, after = one.asked[:begin], one.asked[begin + len(answer) :]
    return _Leak(
        one, before.rpartition("\n")[2].strip()[-_SURROUNDINGS:], after.partition("\n")[0].strip()[:_SURROUNDINGS],
        before.count("\n"), after.count("\n"), f"{before}{after}".strip(), len(answer) / len(one.asked),
    )  # fmt: skip


def _come_from_a_template(leaks: Sequence[_Leak]) -> bool:
    """Whether the answers stand at one place of a template, or at the end of a prompt of their own."""
    have_own_remainder = len({one.remainder for one in leaks}) >= _OWN * len(leaks)
    from_above = Counter((one.before, one.after, one.n_above) for one in leaks)
    from_below = Counter((one.before, one.after, one.n_below) for one in leaks)
    at_one_place = max(count for places in (from_above, from_below) for _, count in places.most_common(1))
    at_one_place *= sum(one.share for one in leaks) >= _NOT_SMALL * len(leaks)
    n_joined = sum(not one.after and not one.n_below and one.share >= _LARGE for one in leaks)
    return have_own_remainder and max(at_one_place, n_joined) >= _SAME * len(leaks)


def _shown(one: Exchange) -> str:
    answer = one.answer.strip()
    begin = one.asked.rfind(answer)
    return excerpt(one.asked, begin, begin + len(answer))


def _prompts_in_answers(exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    asked = [one for one in exchanges if _is_long(one.asked.strip(), _MIN_PROMPT)]
    repeats = [one for one in asked if _repeats_prompt(one)]
    if len(repeats) < max(_MIN_ROWS, _REPEATS * len(asked)):
        return
    yield Finding(
        "PROMPT_IN_ANSWER",
        severity_by_share(len(repeats), len(asked), error=_REPEATS_ERROR),
        summary=f"{share_of(len(repeats), len(asked))} answers begin with their whole prompt",
        why="the model learns to repeat each question before it answers",
        remedy="remove the prompt from the beginning of these answers (generators return it with "
        "`return_full_text=True`), or remove these rows",
        evidence=tuple(
            Evidence(f"answer: {head(one.answer.strip(), 140)}", one.row.number, "train")
            for one in repeats[:MAX_EVIDENCE]
        ),
        n_rows=len({one.row.number for one in repeats}),
    )


def _repeats_prompt(one: Exchange) -> bool:
    asked, answer = one.asked.strip(), one.answer.strip()
    if thought := END_OF_THOUGHT.search(answer):
        answer = answer[thought.end() :].strip()  # a thought may begin with the question
    begin = answer.find(asked, 0, _HEADER + len(asked))
    if begin < 0 or _CODE.search(asked):
        return False
    rest = answer[begin + len(asked) :]
    if not rest.strip():
        return False  # a text that needs no correction
    return _ENDS_A_SENTENCE.search(asked) is not None or rest.lstrip(" \t")[:1] in ("\n", "#", "<", "*")


def _is_long(text: str, n_bytes: int) -> bool:
    """Whether a text is that long; a character of a script without spaces counts as about three letters."""
    return len(text) >= n_bytes or len(text.encode()) >= n_bytes * 1.5


CHECKS: tuple[Check, ...] = (prompt_and_answer,)
