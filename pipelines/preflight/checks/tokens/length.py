"""Checks of length and packing: truncation, dropped rows and tokens, rows longer than the model's positions."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, cast

from pipelines.preflight.check_context import CheckContext, SampledRow, SampledRows, Stage
from pipelines.preflight.checks.evidence import Check, excerpt
from pipelines.preflight.checks.row_facts import are_too_many, dropped_rows
from pipelines.preflight.checks.thresholds import either, length_for, longer_or_split, threshold_findings
from pipelines.recipe.arguments import DataArguments, PretrainingArguments, TruncationPolicy
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.truncation import Example
from pipelines.training.pretrain.document_boundaries import separators_of

MAX_TOKENS_LOST_SHARE = 0.1  # of the answer tokens
MAX_PROMPTS_CUT_SHARE = 0.05  # of the rows; a few giant prompts are fine
MAX_TAIL_SHARE = 0.1  # of a corpus; any corpus of ten blocks loses less
_N_TOKENS_SHOWN = 12
# reported by checks/tokens/template.py and end_tokens.py
_TEMPLATE_REASONS = (
    "template_refuses", "template_drops", "prompt_is_no_prefix", "turn_without_end_token", "end_token_inside_turn",
)  # fmt: skip


def rows_over_thresholds(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_CUT and ROWS_DROPPED: more than the recipe allows."""
    for finding in _threshold_findings(context):
        if finding.id == "ROWS_DROPPED" and _is_due_to_template(context, int(finding.n_rows or 0)):
            continue
        numbers = {one.row for one in finding.evidence}
        yield replace(finding, evidence=_evidence(context, [r for r in context.train.rows if r.number in numbers]))


def _is_due_to_template(context: CheckContext, n_dropped: int) -> bool:
    """Whether the template is the reason that the rows are dropped, which is another finding."""
    by_template = [len(dropped_rows(context, reason)) for reason in _TEMPLATE_REASONS]
    others = n_dropped - sum(by_template)
    return not are_too_many(context, others) and any(are_too_many(context, n_rows) for n_rows in by_template)


def held_out_rows_dropped(context: CheckContext) -> Iterator[Finding]:
    """ROWS_DROPPED of the held-out rows: the run stops if none is left to evaluate on."""
    held_out = context.held_out
    if held_out is None or not held_out.rows or not isinstance(context.data, DataArguments):
        return
    dropped = [row for row in held_out.rows if row.fate is RowFate.DROPPED and row.reason != "refused"]
    if len(dropped) <= context.data.max_dropped_share * len(held_out.rows):
        return
    length = length_for([_length(row) for row in dropped if row.whole], len(held_out.rows), _positions(context))
    yield Finding(
        "ROWS_DROPPED",
        Severity.ERROR if len(dropped) == len(held_out.rows) else Severity.WARNING,
        summary=f"{len(dropped)} of {len(held_out.rows)} held-out rows are dropped: {dropped[0].reason}",
        why="without held-out rows the run stops, and a loss on few of them means little",
        remedy=f"set max_length: {length}" if length else "fix these rows, or set eval_strategy: 'no'",
        evidence=tuple(replace(one, split=held_out.split) for one in _evidence(context, dropped)),
        n_rows=len(dropped),
    )


def tokens_dropped(context: CheckContext) -> Iterator[Finding]:
    """TOKENS_DROPPED: few rows are truncated or dropped, but they have a large part of the answer tokens."""
    if context.stage is Stage.PRETRAIN or _threshold_findings(context):
        return
    rows = context.train.rows
    cut = [row for row in rows if row.whole and row.fate is not RowFate.KEPT and row.reason != "refused"]
    lost = {row.number: _n_trained(row.whole) - _n_trained(row.examples) for row in cut}
    n_lost, n_kept = sum(lost.values()), context.train.ledger.n_tokens_trained
    if n_lost <= MAX_TOKENS_LOST_SHARE * (n_lost + n_kept):
        return
    cut = sorted((row for row in cut if lost[row.number]), key=lambda row: -lost[row.number])
    length = _length_to_keep(context, cut, lost, MAX_TOKENS_LOST_SHARE * (n_lost + n_kept))
    yield Finding(
        "TOKENS_DROPPED",
        Severity.WARNING,
        summary=f"{n_lost / (n_lost + n_kept):.0%} of the answer tokens are lost with {len(cut)} of {len(rows)} rows, "
        f"which are longer than max_length {context.max_length}",
        why="a model that is trained only on short answers learns to answer briefly",
        remedy=either(longer_or_split(length, cast(DataArguments, context.data))),
        evidence=_evidence(context, cut),
        n_rows=len(cut),
    )


def _length_to_keep(
    context: CheckContext, rows: Sequence[SampledRow], lost: Mapping[int, int], n_allowed: float
) -> int | None:
    """A max_length with which `rows` lose at most `n_allowed` of their answer tokens."""
    longest_first = sorted(rows, key=_length, reverse=True)
    n_lost = accumulate(lost[row.number] for row in longest_first)
    needed = [_length(row) for row, n in zip(longest_first, n_lost, strict=True) if n > n_allowed]
    return length_for(needed, 0, _positions(context))


def prompts_cut(context: CheckContext) -> Iterator[Finding]:
    """PROMPTS_CUT: many prompts lose their beginning."""
    rows = context.train.rows
    cut = [row for row in rows if row.fate is RowFate.PROMPT_CUT]
    if len(cut) <= MAX_PROMPTS_CUT_SHARE * len(rows):
        return
    longer = [_length(row) for row in cut]
    length = length_for(longer, len(rows), _positions(context), MAX_PROMPTS_CUT_SHARE)
    n_dropped = len(cut) + len(dropped_rows(context, ""))
    otherwise = "shorten these prompts" if are_too_many(context, n_dropped) else "set long_rows: drop"
    yield Finding(
        "PROMPTS_CUT",
        Severity.WARNING,
        summary=f"{len(cut)} of {len(rows)} rows lose the beginning of their prompt (long_rows: truncate_prompt, "
        f"max_length: {context.max_length})",
        why="an answer to a missing passage teaches the model to make things up",
        remedy=f"set max_length: {length}, which keeps 99% of the rows" if length else otherwise,
        evidence=_evidence(context, cut),
        n_rows=len(cut),
    )


def packing_contaminates(context: CheckContext) -> Iterator[Finding]:
    """PACKING_CONTAMINATES: rows in one packed sequence see each other."""
    separate = isinstance(context.data, PretrainingArguments) and context.data.respect_documents
    fix: dict[str, Any] = {}
    if _packs(context) and getattr(context.training, "packing_strategy", None) == "wrapped":
        summary = "packing_strategy: wrapped cuts rows anywhere and joins them without a boundary"
        fix = {"packing_strategy": "bfd"}
    elif (_packs(context) or separate) and not _takes_positions(context):
        key = "respect_documents" if separate else "packing"
        model = type(context.base.skeleton).__name__
        summary = f"{model} takes no position ids, which {key} needs to keep the rows of a sequence apart"
        fix = {key: False}
    for key, value in fix.items():
        yield Finding(
            "PACKING_CONTAMINATES",
            Severity.ERROR,
            summary=summary,
            why="a row that sees its neighbor in the same sequence learns to answer another row's question",
            remedy=f"set {key}: {str(value).lower()}",
            fix=fix,
        )


def packing_loses_tokens(context: CheckContext) -> Iterator[Finding]:
    """PACKING_LOSES_TOKENS: packing without max_length, or a corpus that loses much in its last, unfilled block."""
    if _packs(context) and context.max_length is None:
        lengths = [_length(row) for row in context.train.rows if row.whole]
        yield Finding(
            "PACKING_LOSES_TOKENS",
            Severity.ERROR,
            summary="packing: true needs a max_length, and max_length is null",
            why="the run stops when it packs the rows, after it has loaded the base",
            remedy=f"set max_length: {length_for(lengths, 0, _positions(context)) or 1024}, or packing: false",
        )
    data = context.data
    is_endless = isinstance(data, PretrainingArguments) and (data.streaming or len(data.datasets) > 1)
    if isinstance(data, PretrainingArguments) and not is_endless and not context.train.is_sample:
        yield from _lost_tail(context, data)


def _lost_tail(context: CheckContext, data: PretrainingArguments) -> Iterator[Finding]:
    separators = separators_of(context.tokenizer, data.respect_documents)
    n_separators = len(context.train.rows) * (len(separators.opening) + len(separators.closing))
    n_tokens = context.train.ledger.n_tokens + n_separators
    n_lost, n_blocks = n_tokens % data.max_length, n_tokens // data.max_length
    if not n_tokens or n_lost <= MAX_TAIL_SHARE * n_tokens:
        return
    length = data.max_length
    while length > 1 and n_tokens % length > MAX_TAIL_SHARE * n_tokens:
        length //= 2
    yield Finding(
        "PACKING_LOSES_TOKENS",
        Severity.WARNING if n_blocks else Severity.ERROR,
        summary=f"{n_lost / n_tokens:.0%} of the corpus is lost: its {n_tokens} tokens fill {n_blocks} blocks of "
        f"max_length {data.max_length}, and the rest is not trained",
        why="in a corpus of few blocks the unfilled last block is a large part" if n_blocks else "nothing is trained",
        remedy=f"set max_length: {length}, or add text",
    )


def longer_than_positions(context: CheckContext) -> Iterator[Finding]:
    """LONGER_THAN_POSITIONS: sequences longer than the model's positions.

    A table of positions ends in an index error. Rotary positions continue where the model was never trained.
    """
    positions = _positions(context)
    if positions is None:
        return
    split, long = _longer_than(context, positions)
    pretrains = isinstance(context.data, PretrainingArguments)  # in blocks of max_length, whatever the documents are
    if not (int(context.max_length or 0) > positions if pretrains else long):
        yield from _room_beyond_positions(context, positions)
        return
    rotates = bool(getattr(context.base.config.get_text_config(), "rope_parameters", None))
    held_out = "" if split is context.train else "held-out "
    what = f"blocks of {context.max_length} tokens" if pretrains else f"{len(long)} of {len(split.rows)} {held_out}rows"
    longest = max((len(one) for row in long for one in row.examples), default=0)
    fix: dict[str, Any] = {"max_length": positions}
    if context.stage is Stage.SFT and are_too_many(context, len(long) + len(dropped_rows(context, ""))):
        fix["long_rows"] = TruncationPolicy.SPLIT.value  # most rows would be dropped
    yield Finding(
        "LONGER_THAN_POSITIONS",
        Severity.WARNING if rotates and not pretrains else Severity.ERROR,
        summary=f"{what} are longer than the {positions} positions of {context.base.name}"
        + ("" if pretrains else f", the longest has {longest} tokens"),
        why="the base was never trained at these positions and predicts nonsense there"
        if rotates
        else "the base has no embeddings for these positions: training ends in an index error",
        remedy="set " + ", ".join(f"{key}: {value}" for key, value in fix.items()),
        evidence=() if pretrains else tuple(replace(one, split=split.split) for one in _evidence(context, long)),
        n_rows=None if pretrains else len(long),
        fix=fix,
    )


def _longer_than(context: CheckContext, positions: int) -> tuple[SampledRows, list[SampledRow]]:
    """The first split with rows that do not fit, and these rows."""
    for split in context.splits:
        if long := [row for row in split.rows if any(len(one) > positions for one in row.examples)]:
            return split, long
    return context.train, []


def _room_beyond_positions(context: CheckContext, positions: int) -> Iterator[Finding]:
    if int(context.max_length or 0) > positions:
        yield Finding(
            "LONGER_THAN_POSITIONS",
            Severity.NOTE,
            summary=f"max_length {context.max_length} is more than the {positions} positions of {context.base.name}; "
            "no row is that long",
            why="a longer row of a later version of the dataset would not be dropped",
            remedy=f"set max_length: {positions}",
            fix={"max_length": positions},
        )


def evaluation_packed_otherwise(context: CheckContext) -> Iterator[Finding]:
    """EVALUATION_PACKED_OTHERWISE: training and evaluation losses are different means."""
    packs = getattr(context.training, "eval_packing", None)
    differs = packs is not None and bool(packs) != _packs(context)
    if context.stage is Stage.SFT and context.held_out is not None and differs:
        yield Finding(
            "EVALUATION_PACKED_OTHERWISE",
            Severity.NOTE,
            summary=f"packing is {str(_packs(context)).lower()}, and eval_packing is {str(bool(packs)).lower()}",
            why="a mean over packed sequences weighs rows differently, so the two losses cannot be compared",
            remedy="remove eval_packing",
            fix={"eval_packing": None},
        )


def _threshold_findings(context: CheckContext) -> list[Finding]:
    if not isinstance(context.data, DataArguments):
        return []
    train = context.train
    lengths = {row.number: _length(row) for row in train.rows if row.fate is not RowFate.KEPT and row.whole}
    return threshold_findings(
        train.ledger, context.data, lengths=lengths, max_positions=_positions(context), n_total=train.n_rows
    )


def _evidence(context: CheckContext, rows: Sequence[SampledRow]) -> tuple[Evidence, ...]:
    """How long the first rows are, their fate, and the last of their trained tokens."""
    shown = []
    for row in rows[:MAX_EVIDENCE]:
        length = f"{_length(row)} tokens, " if row.whole else ""
        fate = row.reason or row.fate.value.replace("_", " ")
        text = f"{length}{fate}: {excerpt(row.asked or ' '.join(row.answers), 0, 60)}"[:160]
        tokens = context.labelled(row.examples[-1], -_N_TOKENS_SHOWN) if row.examples else ()
        shown.append(Evidence(text, row.number, context.train.split, tokens))
    return tuple(shown)


def _n_trained(examples: Sequence[Example]) -> int:
    return sum(example.n_trained for example in examples)


def _length(row: SampledRow) -> int:
    """Tokens of the longest example before truncation."""
    return max(map(len, row.whole), default=0)


def _positions(context: CheckContext) -> int | None:
    longest = getattr(context.base.config.get_text_config(), "max_position_embeddings", None)
    return int(longest) if longest else None


def _packs(context: CheckContext) -> bool:
    return context.stage is Stage.SFT and bool(getattr(context.training, "packing", False))


def _takes_positions(context: CheckContext) -> bool:
    return "position_ids" in inspect.signature(context.base.skeleton.forward).parameters


CHECKS: tuple[Check, ...] = (
    rows_over_thresholds, held_out_rows_dropped, tokens_dropped, prompts_cut, packing_contaminates,
    packing_loses_tokens, longer_than_positions, evaluation_packed_otherwise,
)  # fmt: skip
