"""Checks for special tokens in text: rows that contain special tokens or marks of the chat template."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from pipelines.modeling.assistant_masks import inner_token_ids
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import error_if_material, excerpt, wanted_answers
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, LabelledToken, Severity

_RENDERED_SHARE = 0.1  # of the rows: this many prompts with marks are rendered already
_MANY, _SOME = 10, 2  # rows with marks of turns that are an error in any set, and where they are one in a hundred
_TEXT_MARKS = re.compile(r"\[/?[A-Z_]{3,}\]|<</?SYS>>|<\|\w+\|>")  # marks of templates that may not be special tokens
_N_AROUND = 24  # characters on either side of a mark
_MAX_TOKENS = 24
_MAX_NAMED = 8  # marks
_PROBE = [
    {"role": "system", "content": "probe system"},
    {"role": "user", "content": "probe question"},
    {"role": "assistant", "content": "probe answer"},
    {"role": "user", "content": "probe question"},
]


@dataclass(frozen=True)
class _Hit:
    """A mark in a text. `merely_ends`: nothing follows it."""

    row: SampledRow
    text: str
    mark: str
    begin: int
    merely_ends: bool = False


@dataclass(frozen=True)
class _Marks:
    """`structure` are marks that open or end a turn, `ends` those of them at which generation stops, `others` special
    tokens such as BOS and the unknown token."""

    ends: tuple[str, ...]
    structure: frozenset[str]
    others: frozenset[str]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted({*self.structure, *self.others}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    @cached_property
    def _signs(self) -> tuple[str, ...]:
        """The beginnings of all marks, to skip most texts fast."""
        return tuple({mark[:2] for mark in (*self.structure, *self.others)})

    def all_in(self, text: str) -> set[str]:
        """The different marks in `text`."""
        return set(self._pattern.findall(text))

    def first_in(self, text: str) -> re.Match[str] | None:
        """The first mark in `text`, one that opens or ends a turn if there is one."""
        if not any(sign in text for sign in self._signs):
            return None
        found = list(self._pattern.finditer(text))
        return next((one for one in found if one.group() in self.structure), found[0] if found else None)


def template_marks_in_prompt(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_MARKS_IN_PROMPT: prompts with a token that opens or ends a turn."""
    if not context.is_conversational:
        return
    marks = _marks_of(context)
    found = [(row, mark) for row in context.train.rows if (mark := marks.first_in(row.asked)) is not None]
    hits = [_Hit(row, row.asked, mark.group(), mark.start()) for row, mark in found]
    if not hits:
        return
    n_rows = len(context.train.rows)
    n_structural = sum(hit.mark in marks.structure for hit in hits)
    rendered = n_structural >= _RENDERED_SHARE * n_rows
    yield Finding(
        "TEMPLATE_MARKS_IN_PROMPT",
        _severity(n_structural, n_rows, at_least=_SOME),
        summary=f"the prompts of {len(hits)} of {n_rows} rows contain {_named(hits, marks)}",
        why="the tokenizer reads it as a special token, so the template is rendered twice"
        if rendered
        else "the tokenizer reads it as a special token, so a user's text opens and ends turns",
        remedy=_remedy(hits),
        evidence=_evidence(context, hits, trained=False),
        n_rows=len(hits),
    )


def template_marks_in_answer(context: CheckContext) -> Iterator[Finding]:
    """TEMPLATE_MARKS_IN_ANSWER: answers with a token that opens or ends a turn; plain text with one that ends it."""
    if context.stage is Stage.PRETRAIN:
        return
    marks = _marks_of(context)
    hits = [hit for row in context.train.rows if (hit := _hit_in_answers(context, row, marks)) is not None]
    if not hits:
        return
    n_rows = len(context.train.rows)
    inside = [hit for hit in hits if not hit.merely_ends]
    n_ending = len(hits) - len(inside)
    ending = f"; {n_ending} of them only end with it, and the template ends them again" if n_ending else ""
    # plain text may join documents in one row, which end there
    n_structural = sum(hit.mark in marks.structure and bool(hit.row.messages) for hit in inside)
    yield Finding(
        "TEMPLATE_MARKS_IN_ANSWER",
        _severity(n_structural, n_rows),
        summary=f"the answers of {len(hits)} of {n_rows} rows contain {_named(hits, marks)}{ending}",
        why="the model learns to stop inside the answer, or to write the next turn itself"
        if inside
        else "the end token appears twice, in the context of later turns and in other training programs",
        remedy=_remedy(hits),
        evidence=_evidence(context, inside or hits, trained=True),
        n_rows=len(hits),
    )


def _severity(n_structural: int, n_rows: int, at_least: int = 1) -> Severity:
    """ERROR for marks of turns in many rows, or in one row of a hundred."""
    if n_structural < at_least:
        return Severity.WARNING
    return Severity.ERROR if n_structural >= _MANY else error_if_material(n_structural, n_rows)


def _hit_in_answers(context: CheckContext, row: SampledRow, marks: _Marks) -> _Hit | None:
    """The first mark inside an answer, else an end token after one. After plain text it is correct, and preference
    pairs lose it."""
    trailing = None
    for answer in wanted_answers(row, context.stage):
        text = answer.rstrip()
        while text.endswith(marks.ends):
            end = next(one for one in marks.ends if text.endswith(one))
            text = text.removesuffix(end).rstrip()
            if context.stage is Stage.SFT and row.messages:
                trailing = _Hit(row, answer, end, len(text), merely_ends=True)
        found = marks.first_in(text)
        if found is not None:
            return _Hit(row, text, found.group(), found.start())
    return trailing


def _marks_of(context: CheckContext) -> _Marks:
    """What the rows' text should not have. In plain text that is only the end token."""
    tokenizer = context.tokenizer
    source = context.base.generation_config or context.base.config.get_text_config()
    ends = getattr(source, "eos_token_id", None)
    end_ids = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    special = {str(token): token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    structure = {token for token, token_id in special.items() if token_id in end_ids}
    others: set[str] = set()
    if context.is_conversational:
        written = _rendered_probe(tokenizer)
        structure |= {token for token in special if token in written and token != tokenizer.bos_token}
        structure |= set(_TEXT_MARKS.findall(written))
        others = {str(token) for token in (tokenizer.bos_token, tokenizer.pad_token, tokenizer.unk_token) if token}
    parsed = {token for token in {*structure, *others} if token not in special or _is_parsed(tokenizer, token)}
    ends = tuple(token for token in special if special[token] in end_ids and token in parsed)
    return _Marks(ends, frozenset(structure & parsed), frozenset((others & parsed) - structure))


def _rendered_probe(tokenizer: PreTrainedTokenizerBase) -> str:
    if not tokenizer.chat_template:
        return ""
    try:
        return str(tokenizer.apply_chat_template(_PROBE, tokenize=False, add_generation_prompt=True))
    except TemplateError:  # no system turns
        return str(tokenizer.apply_chat_template(_PROBE[1:], tokenize=False, add_generation_prompt=True))


def _is_parsed(tokenizer: PreTrainedTokenizerBase, token: str) -> bool:
    """Whether `token` in a text becomes that token; with split_special_tokens it does not."""
    return tokenizer.convert_tokens_to_ids(token) in inner_token_ids(tokenizer, f"a {token} b")


def _named(hits: Sequence[_Hit], marks: _Marks) -> str:
    """All marks in the texts, of which each hit has one."""
    return ", ".join(sorted({mark for hit in hits for mark in {hit.mark, *marks.all_in(hit.text)}})[:_MAX_NAMED])


def _remedy(hits: Sequence[_Hit]) -> str:
    mark = hits[0].mark
    return (
        "remove all special tokens from the rows' text, or write them with a space where they are text "
        f"({mark[:1]} {mark[1:]})"
    )


def _evidence(context: CheckContext, hits: Sequence[_Hit], *, trained: bool) -> tuple[Evidence, ...]:
    shown = []
    for hit in hits[:MAX_EVIDENCE]:
        end = hit.begin + len(hit.mark)
        around = hit.text[max(0, hit.begin - _N_AROUND) : end + _N_AROUND]
        ids = inner_token_ids(context.tokenizer, around)[:_MAX_TOKENS]
        tokens = tuple(LabelledToken(str(context.tokenizer.decode([one])), one, trained) for one in ids)
        shown.append(Evidence(excerpt(hit.text, hit.begin, end), hit.row.number, context.train.split, tokens))
    return tuple(shown)
