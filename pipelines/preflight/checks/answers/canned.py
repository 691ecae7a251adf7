"""Checks of what answers say instead of answering: refusals, canned openings, and marks of turns."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from data_prep.text_rules.refusals import ASKS_FOR_REFUSAL, MAX_REFUSAL_CHARACTERS, MAY_BE_REFUSAL, is_refusal
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.answers.damaged_rows import damage_finding
from pipelines.preflight.checks.evidence import (
    Check,
    evidence_of_splits,
    excerpt,
    head,
    rows_of_splits,
    share_of,
    wanted_answers,
)
from pipelines.records.finding import Finding, Severity

_MANY_REFUSALS = 0.1  # of the rows; public sets have up to 2%
_SAFETY_SHARE = 0.35  # of the refused requests ask for something harmful: a set that teaches to refuse
_MIN_ROWS = 3
# "As an AI, I have no taste, but ..." answers after all
_ANSWERS = re.compile(r"\W*(?:as|being) .*\b(?:but|however)\b", re.IGNORECASE | re.DOTALL)
_HARMFUL = re.compile(
    r"bomb|weapon|\bguns?\b|explosiv|\bkill|murder|poison|suicid|self.?harm|hurt|attack|assault|stalk|spy\b|spying|hack"
    r"|crack|phish|malware|virus|ransom|exploit|ddos|keylog|steal|stole|theft|shoplift|rob\b|burglar|break into"
    r"|lock.?pick"
    r"|fraud|scam|forge|counterfeit|fake|launder|smuggl|traffick|brib|blackmail|drugs?\b|cocaine|heroin|\bmeth"
    r"|racis|sexis"
    r"|hate|slur|porn|nude|sexual|child abuse|terror|extremis|illegal|unlawful|cheat|plagiar|dox|bypass|password"
    r"|without (?:consent|permission|(?:them|anyone|him|her) knowing)|evade|harass|bully|torture|underage|overdose",
    re.IGNORECASE,
)
_REASON = re.compile(r"harm|illegal|danger|unsafe|safety|ethic|violen|privacy|crim(?:e|inal)|hateful|offensive", re.I)


def refusals(context: CheckContext) -> Iterator[Finding]:
    """REFUSALS: many harmless requests are refused."""
    if context.stage is Stage.PRETRAIN:
        return
    rows = rows_of_splits(context)
    found = [(split, row, answer) for split, row in rows if (answer := _refusal(context, row)) is not None]
    n_harmful = sum(bool(_HARMFUL.search(row.asked) or _REASON.search(answer)) for _, row, answer in found)
    is_for_safety = n_harmful >= _SAFETY_SHARE * len(found)
    n_harmless = len(found) if not is_for_safety else 0
    if n_harmless < max(_MIN_ROWS, _MANY_REFUSALS * len(rows)):
        return
    yield Finding(
        "REFUSALS",
        Severity.WARNING,
        summary=f"the answers of {share_of(len(found), len(rows))} rows refuse, and {len(found) - n_harmful} of these "
        "requests are harmless",
        why="the model learns to refuse what it could answer",
        remedy="drop them with `python data_prep/build_instructions.py --source FILE --output FOLDER "
        "--max_removed_share 1`, whose step `refusals` finds them, or remove these rows",
        evidence=evidence_of_splits(
            (split, row, f"{head(row.asked, 60)} | {head(one, 80)}") for split, row, one in found
        ),
        n_rows=len(found),
    )


def _refusal(context: CheckContext, row: SampledRow) -> str | None:
    """The first answer that only refuses a request which did not ask for that."""
    for answer in wanted_answers(row, context.stage):
        may_be = len(answer) <= MAX_REFUSAL_CHARACTERS and MAY_BE_REFUSAL.match(answer)
        if (
            may_be
            and is_refusal(answer)
            and not _ANSWERS.match(answer)
            and not ASKS_FOR_REFUSAL.search(row.asked[-2000:])
        ):
            return answer
    return None


_CANNED_SHARE = 0.4  # of the answers; a third of them where models of 2023 wrote a set
_MODEL_SHARE = 0.05  # of the answers begin with "As an AI language model", which no user wants to read
_OPENING = re.compile(
    r"\W*(?:(sure(?: thing)?|certainly|of course|absolutely|definitely|no problem|great question|(?:that['’]s|what) a "
    r"(?:great|good) question|(?:i['’]d|i would|i am|i['’]m) (?:be )?(?:happy|glad) to"
    r"|thank(?:s| you) for (?:your|asking)"
    r"|as an ai|as a (?:large )?language model|here(?: is|['’]s| are)(?= (?:an?|the|some|your|my)\b)"
    r"|natürlich|selbstverständlich|gerne|bien sûr|certainement|avec plaisir|claro|por supuesto|con gusto|certamente"
    r"|конечно|разумеется)\b|(当然|好的|没问题|もちろん|承知|물론))",
    re.IGNORECASE,
)
_N_PHRASES, _MAX_SHARED = 4, 16  # shown; words of one
_MIN_ANSWER = 24  # characters: a label may be "certainly"


def _shared_beginning(texts: Sequence[str]) -> str:
    """The longest beginning, in words, that most of `texts` have."""
    shared = texts[0][:_MIN_ANSWER]
    for n_words in range(1, _MAX_SHARED):
        [(beginning, count)] = Counter(" ".join(text.split()[:n_words]) for text in texts).most_common(1)
        if count <= len(texts) / 2:
            break
        shared = beginning
    return shared


def canned_openings(context: CheckContext) -> Iterator[Finding]:
    """CANNED_OPENINGS: many answers begin with a phrase of assistants, such as "Sure! Here is"."""
    if context.stage is not Stage.SFT:  # in preferences, what differs between chosen and rejected is learned
        return
    rows = [(split, row) for split, row in rows_of_splits(context) if row.asked.strip()]
    answers = [(split, row, one) for split, row in rows for one in wanted_answers(row, context.stage) if one]
    found = [
        (split, row, match) for split, row, one in answers
        if len(one) >= _MIN_ANSWER and (match := _OPENING.match(one)) is not None and _refusal(context, row) is None
    ]  # fmt: skip
    n_models = sum("model" in match[0].lower() or match[0].lower().endswith(" ai") for _, _, match in found)
    are_many = len(found) >= _CANNED_SHARE * len(answers) or n_models >= _MODEL_SHARE * len(answers)
    if len(found) < _MIN_ROWS or not are_many:
        return
    groups = defaultdict(list)
    for _, _, match in found:
        groups[(match[1] or match[2]).lower()].append(match.string)
    largest = sorted(groups.values(), key=len, reverse=True)[:_N_PHRASES]
    most = ", ".join(f'"{_shared_beginning(same)}" ({len(same)})' for same in largest)
    yield Finding(
        "CANNED_OPENINGS",
        Severity.WARNING,
        summary=f"{share_of(len(found), len(answers))} answers begin with a phrase of another assistant: {most}",
        why="the model learns to begin like this whatever it is asked",
        remedy="cut the phrase off the answers, or remove these rows",
        evidence=evidence_of_splits((split, row, head(match.string, 80)) for split, row, match in found),
        n_rows=len({(split, row.number) for split, row, _ in found}),
    )


_ERROR_SHARE = 0.1
# The header of the answer itself, which its template writes
_HEADER = re.compile(
    r"\s*(?:#{1,4} ?(?:Response|Answer|Assistant|Output|Antwort|Réponse|Respuesta|回答)\s*[:：]?\s*\n"
    r"|#{1,4} ?(?:Response|Assistant|Output) ?:|(?:Assistant|ASSISTANT|AI|Bot|ChatGPT|GPT-?\d?|Response) ?:"
    r"|(?:Human|HUMAN|User|USER) ?:(?=[^\n]*\n{1,2}\s*(?:Assistant|ASSISTANT|AI|Bot|GPT) ?:))"
)
# Marks of ChatML, Llama 2 and 3, Zephyr, Phi, Gemma, DeepSeek
_MARK = re.compile(
    r"<\|(?:im_start|im_end|im_sep|assistant|user|system|end|endoftext|eot_id|start_header_id|end_header_id|eom_id"
    r"|begin_of_text|end_of_text|bot|human|prompter)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<｜[^｜<>]{1,30}｜>"
    r"|</s>\s*\Z|\A\s*<s>"
)
_ABOUT_TURNS = re.compile(
    r"conversation|dialog|script|role.?play|\bchat|interview|transcript|templat|prompt|token|format|fine.?tun"
    r"|language model|\bllm|llama|\bgpt|human:|user:|assistant:|<\||\[/?inst|html|strik",
    re.IGNORECASE,
)


def turn_marks_in_answers(context: CheckContext) -> Iterator[Finding]:
    """TURN_MARKS_IN_ANSWERS: headers and marks of a template that is not this run's, such as "### Response:"."""
    if context.stage is Stage.PRETRAIN or not context.is_conversational:
        return  # plain prompts may leave the header to the completion
    own = {str(token) for token in context.tokenizer.added_tokens_decoder.values()}  # these have a finding of their own

    def mark_in(asked: str, answer: str) -> str | None:
        found = _HEADER.match(answer) or (_MARK.search(answer) if "<" in answer or "[" in answer else None)
        if found is None or found.group().strip() in own or not asked.strip() or _ABOUT_TURNS.search(asked):
            return None
        return excerpt(answer, *found.span())

    yield from damage_finding(
        "TURN_MARKS_IN_ANSWERS", context, mark_in,
        what="contain headers or marks of turns of another template",
        why="the model learns to write them, and readers see them",
        remedy="cut the headers and marks out of the answers, or remove these rows",
        error=_ERROR_SHARE,
    )  # fmt: skip


CHECKS: tuple[Check, ...] = (refusals, canned_openings, turn_marks_in_answers)
