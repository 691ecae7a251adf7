"""Find where an answer runs on into another task or turn.

Generators that stop too late leave such text. Dialogues, quizzes and prompt guides have the same headers on purpose, so
a header counts only at the beginning of a line, after an answer, and where the prompt did not ask for it.
"""

import re

_SOME_LINES = r"[^\n]*\n(?:[^\n]*\n){0,40}?[ \t]*"
_NUMBERED_TASK = re.compile(
    rf"\n[ \t]*(\d+)\. ?(?:Instruction|Task|Question):{_SOME_LINES}\1\. ?(?:Input|Output|Answer):"
)
_HASHED = re.compile(r"\n[ \t]*### ?(?:Instruction|Human|User) ?:\s*[^\n]*")
# the marks of chat templates: ChatML, Llama 3, Zephyr, Gemma, Llama 2
_MARK = re.compile(
    r"<\|(?:im_start|start_header_id)\|>\s*(?:user|human)\b|<\|user\|>|<start_of_turn>\s*user\b|</s>\s*(?:<s>)?\s*\[INST\]"
)
_TASK = re.compile(rf"\n[ \t]*Instruction:{_SOME_LINES}(?:Output|Response|Answer):")
_TURN = re.compile(rf"\n[ \t]*(?:Human|User):{_SOME_LINES}(?:Assistant|AI|ChatGPT|GPT|Bot):")
_OPEN_TURN = re.compile(r"\n[ \t]*(?:Human|User|Instruction):[ \t]*\Z")
# A request that ends in a cue is a pattern: its headers are a template's, and not what was asked for.
_CUE = re.compile(
    r"(?:Answer|A|Assistant|AI|Response|Output|Solution) ?:\s*\Z|^[ \t]*#{1,6} ?[^\n#:：]{1,30}[:：]?\s*\Z",
    re.MULTILINE,
)
_HEADER = re.compile(
    r"^[ \t]*(#{1,6} ?[^\n#:：]{1,30}|(?:Question|Q|Human|User|Problem|Instruction|Task)(?= ?:))(?:[ \t]*[:：])?",
    re.MULTILINE,
)
_ASKS_FOR_TASKS = re.compile(r"instructions?:|\b(?:tasks|instructions|prompts?)\b|fine.?tun|few.?shot", re.IGNORECASE)
_ASKS_FOR_TURNS = re.compile(
    r"conversation|dialog|chat|script|role.?play|interview|transcript|scenario|examples?\b|sample|template|prompt|quiz"
    r"|faq|q ?& ?a|questions|instruction|format|\btasks?\b|few.?shot|\bbot\b|assistant|\bgpt|language model",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"\A\W*[A-Z][\w ]{0,20}:")  # an answer that begins with a speaker is a dialogue


def trailing_turn_start(asked: str, answer: str) -> int | None:
    """Where in `answer` the header of another task or turn starts that the prompt did not ask for, None without one."""
    has_header, has_mark = "\n" in answer and ":" in answer, ("<|" in answer or "<s" in answer or "</s>" in answer)
    if not (has_header or has_mark) or not asked.strip():
        return None
    is_pattern = _CUE.search(asked) is not None
    request, headers = _without_pattern(asked) if is_pattern else (asked, [])
    if not (_SPEAKER.match(answer) or _ASKS_FOR_TURNS.search(request)):
        headers += [_TASK, _TURN, _OPEN_TURN]
    if is_pattern or not _ASKS_FOR_TASKS.search(request):
        headers += [_NUMBERED_TASK, _HASHED, _MARK]
    found = (header.search(answer) for header in headers)
    matches = (match for match in found if match and not _is_repeated(match.group().strip(), asked))
    starts = (match.start() for match in matches if match.re is _NUMBERED_TASK or not _is_fenced(match))
    return min((start for start in starts if answer[:start].strip()), default=None)


def _without_pattern(asked: str) -> tuple[str, list[re.Pattern[str]]]:
    """What is asked without the headers around it and what is before the first, and what finds these headers."""
    found = list(_HEADER.finditer(asked))
    names = sorted({match[1].strip() for match in found})
    # a header with # may have no colon
    headers = [re.compile(rf"\n[ \t]*{re.escape(one)} ?[:：]{'?' * (one[0] == '#')}[^\n]*") for one in names]
    begin = found[0].start() if found else 0
    return _HEADER.sub("", _CUE.sub("", asked[begin:])), headers


def _is_fenced(header: re.Match[str]) -> bool:
    """Whether a header is in fenced code, which quotes it. Numbered tasks may have a fence between them."""
    return header.string.count("```", 0, header.start()) % 2 == 1


def _is_repeated(header: str, asked: str) -> bool:
    """Whether the prompt has the same header with the same text."""
    return header[-1] != ":" and header in asked
