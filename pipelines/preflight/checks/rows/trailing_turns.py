"""Answers that run on: after what was asked comes the header of a next task or turn.

Such text is left by generators that were stopped too late. Dialogues, quizzes and guides to prompts have the same
headers honestly, so a header counts only at the beginning of a line, after an answer, and where nobody asked for it.
"""

import re
from collections.abc import Iterator

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import excerpt, wanted_answers
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.rows.shares import severity_by_share
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding

_ERROR_SHARE = 0.01  # of the rows: what one answer of a hundred does, the model does

_SOME_LINES = r"[^\n]*\n(?:[^\n]*\n){0,40}?[ \t]*"
_NUMBERED_TASK = re.compile(
    rf"\n[ \t]*(\d+)\. ?(?:Instruction|Task|Question):{_SOME_LINES}\1\. ?(?:Input|Output|Answer):"
)
_HASHED = re.compile(r"\n[ \t]*### ?(?:Instruction|Human|User) ?:\s*[^\n]*")
_TASK = re.compile(rf"\n[ \t]*Instruction:{_SOME_LINES}(?:Output|Response|Answer):")
_TURN = re.compile(rf"\n[ \t]*(?:Human|User):{_SOME_LINES}(?:Assistant|AI|ChatGPT|GPT|Bot):")
_OPEN_TURN = re.compile(r"\n[ \t]*(?:Human|User|Instruction):[ \t]*\Z")
_CUE = re.compile(r"(?:Answer|A|Assistant|AI|Response|Output|Solution) ?:\s*\Z")  # a request that ends so is a pattern
_HEADER = re.compile(r"^(?:Question|Q|Human|User|Problem)(?= ?:)", re.MULTILINE)
_ASKS_FOR_TASKS = re.compile(r"instructions?:|\b(?:tasks|instructions|prompts?)\b|fine.?tun|few.?shot", re.IGNORECASE)
_ASKS_FOR_TURNS = re.compile(
    r"conversation|dialog|chat|script|role.?play|interview|transcript|scenario|examples?\b|sample|template|prompt|quiz"
    r"|faq|q ?& ?a|questions|instruction|format|\btasks?\b|few.?shot|\bbot\b|assistant|\bgpt|language model",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"\A\W*[A-Z][\w ]{0,20}:")  # an answer that begins with a speaker is a dialogue


def trailing_turns(context: CheckContext) -> Iterator[Finding]:
    """Answers that hold the header of a next task or turn."""
    if context.stage is Stage.PRETRAIN:
        return
    found: list[tuple[str, SampledRow, str, int]] = []
    n_rows = 0
    for seen in context.splits:
        for row in seen.rows:
            n_rows += 1
            begins = ((answer, trailing_turn_start(row.asked, answer)) for answer in wanted_answers(row, context.stage))
            first = next(((answer, begin) for answer, begin in begins if begin is not None), None)
            if first is not None:
                found.append((seen.split, row, *first))
    if found:
        yield Finding(
            "ANSWER_RUNS_ON",
            severity_by_share(len(found), n_rows, error=_ERROR_SHARE),
            summary=f"{len(found)} of {n_rows} rows have an answer that goes on into a next task",
            why="the model learns to answer and then, instead of to stop, to ask itself something else",
            remedy="cut these answers before the header shown, or remove the rows",
            evidence=tuple(
                Evidence(excerpt(answer, begin, begin + 60), row.number, split)
                for split, row, answer, begin in found[:MAX_EVIDENCE]
            ),
            n_rows=len(found),
        )


def trailing_turn_start(asked: str, answer: str) -> int | None:
    """Where in `answer` the header of a next task or turn begins, None if there is none that nobody asked for."""
    if "\n" not in answer or ":" not in answer or not asked.strip():
        return None
    is_pattern = _CUE.search(asked) is not None
    if is_pattern:
        headers = [re.compile(rf"\n[ \t]*{name} ?:[^\n]*") for name in sorted(set(_HEADER.findall(asked)))]
    elif _SPEAKER.match(answer) or _ASKS_FOR_TURNS.search(asked):
        headers = []
    else:
        headers = [_TASK, _TURN, _OPEN_TURN]
    if is_pattern or not _ASKS_FOR_TASKS.search(asked):
        headers += [_NUMBERED_TASK, _HASHED]
    found = (header.search(answer) for header in headers)
    begins = (match.start() for match in found if match and not _is_said_again(match.group().strip(), asked))
    return min((begin for begin in begins if answer[:begin].strip()), default=None)


def _is_said_again(header: str, asked: str) -> bool:
    """Whether a header comes with what the request had after it."""
    return header[-1] != ":" and header in asked


CHECKS: tuple[Check, ...] = (trailing_turns,)
