"""Length and packing: answers that are cut, rows and tokens that are lost, rows that the model has no positions for."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import excerpt
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.sampled_rows import are_too_many, dropped_rows
from pipelines.preflight.checks.thresholds import length_for, threshold_findings
from pipelines.recipe.arguments import DataArguments, PretrainingArguments
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate
from pipelines.training.pretrain.document_boundaries import separators_of

__all__ = ["CHECKS", "threshold_findings"]

MAX_TOKENS_LOST_SHARE = 0.1  # as many answer tokens as rows may go: long answers are a part of what is taught
MAX_PROMPTS_CUT_SHARE = 0.05  # of the rows; a few giants among the prompts are no reason to look
MAX_TAIL_SHARE = 0.1  # of a corpus; the tail that fills no block is less in any corpus of ten blocks
_N_TOKENS_SHOWN = 12
# reported by checks/template.py and checks/end_tokens.py
_TEMPLATE_REASONS = (
    "template_refuses", "template_drops", "prompt_is_no_prefix", "turn_without_end_token", "end_token_inside_turn",
)  # fmt: skip


def gates(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_CUT and ROWS_DROPPED: more than the recipe allows."""
    for finding in _gate_findings(context):
        if finding.id == "ROWS_DROPPED" and _is_the_templates_fault(context, int(finding.n_rows or 0)):
            continue
        concerned = {one.row for one in finding.evidence}
        rows = [row for row in context.train.rows if row.number in concerned]
        yield replace(finding, evidence=tuple(_evidence(context, row) for row in rows))


def _is_the_templates_fault(context: CheckContext, n_dropped: int) -> bool:
    """Whether the rows are dropped for what the template does with them, which is an error of its own."""
    by_template = [len(dropped_rows(context, reason)) for reason in _TEMPLATE_REASONS]
    others = n_dropped - sum(by_template)
    return not are_too_many(context, others) and any(are_too_many(context, n_rows) for n_rows in by_template)


def held_out_rows_dropped(context: CheckContext) -> Iterator[Finding]:
    """ROWS_DROPPED of the held-out rows: the run stops where none is left to evaluate on."""
    seen = context.held_out
    if seen is None or not seen.rows or not isinstance(context.data, DataArguments):
        return
    dropped = [row for row in seen.rows if row.fate is RowFate.DROPPED and row.reason != "refused"]
    if len(dropped) <= context.data.max_dropped_share * len(seen.rows):
        return
    length = length_for([_length(row) for row in dropped if row.whole], len(seen.rows), _positions(context))
    yield Finding(
        "ROWS_DROPPED",
        Severity.ERROR if len(dropped) == len(seen.rows) else Severity.WARNING,
        summary=f"{len(dropped)} of {len(seen.rows)} held-out rows are dropped: {dropped[0].reason}",
        why="the run stops without a held-out row, and a loss on few rows is not reliable",
        remedy=f"set max_length: {length}" if length else "fix these rows, or set eval_strategy: 'no'",
        evidence=tuple(replace(_evidence(context, row), split=seen.split) for row in dropped[:MAX_EVIDENCE]),
        n_rows=len(dropped),
    )


def tokens_dropped(context: CheckContext) -> Iterator[Finding]:
    """TOKENS_DROPPED: few rows are lost, but with them a large part of what there is to learn."""
    if context.stage is Stage.PRETRAIN or _gate_findings(context):
        return
    cut = [row for row in context.train.rows if row.whole and row.fate is not RowFate.KEPT and row.reason != "refused"]
    lost = {row.number: _n_trained(row.whole) - _n_trained(row.examples) for row in cut}
    n_lost, n_kept = sum(lost.values()), context.train.ledger.n_tokens_trained
    if n_lost <= MAX_TOKENS_LOST_SHARE * (n_lost + n_kept):
        return
    cut = sorted((row for row in cut if lost[row.number]), key=lambda row: -lost[row.number])
    length = length_for([_length(row) for row in cut], len(context.train.rows), _positions(context))
    yield Finding(
        "TOKENS_DROPPED",
        Severity.WARNING,
        summary=f"{n_lost / (n_lost + n_kept):.0%} of the answer tokens are lost with {len(cut)} of "
        f"{len(context.train.rows)} rows, which are longer than max_length {context.max_length}",
        why="a model that sees only short answers learns to give short answers",
        remedy=f"set max_length: {length}, which keeps 99% of the rows" if length else "raise max_length",
        evidence=tuple(_evidence(context, row) for row in cut[:MAX_EVIDENCE]),
        n_rows=len(cut),
    )


def prompts_cut(context: CheckContext) -> Iterator[Finding]:
    """PROMPTS_CUT: many rows ask with the beginning of their prompt cut off."""
    cut = [row for row in context.train.rows if row.fate is RowFate.PROMPT_CUT]
    if len(cut) <= MAX_PROMPTS_CUT_SHARE * len(context.train.rows):
        return
    length = length_for([_length(row) for row in cut], len(context.train.rows), _positions(context))
    yield Finding(
        "PROMPTS_CUT",
        Severity.WARNING,
        summary=f"{len(cut)} of {len(context.train.rows)} rows lose the beginning of their prompt (long_rows: "
        f"truncate_prompt, max_length {context.max_length})",
        why="answering a prompt that was cut off teaches the model to make things up",
        remedy=f"set max_length: {length}, which keeps 99% of the rows whole" if length else "set long_rows: drop",
        evidence=tuple(_evidence(context, row) for row in cut[:MAX_EVIDENCE]),
        n_rows=len(cut),
    )


def packing_contaminates(context: CheckContext) -> Iterator[Finding]:
    """PACKING_CONTAMINATES: what stands side by side in one sequence sees each other."""
    why = "a row that attends to its neighbor learns to answer another row's question"
    separate = isinstance(context.data, PretrainingArguments) and context.data.respect_documents
    if _packs(context) and getattr(context.training, "packing_strategy", None) == "wrapped":
        yield Finding(
            "PACKING_CONTAMINATES",
            Severity.ERROR,
            summary="packing_strategy: wrapped cuts rows anywhere and joins them without a boundary",
            why=why,
            remedy="set packing_strategy: bfd",
            fix={"packing_strategy": "bfd"},
        )
    elif (_packs(context) or separate) and not _takes_positions(context):
        key = "respect_documents" if separate else "packing"
        yield Finding(
            "PACKING_CONTAMINATES",
            Severity.ERROR,
            summary=f"{type(context.base.skeleton).__name__} takes no position ids, by which {key} keeps apart what "
            "stands in one sequence",
            why=why,
            remedy=f"set {key}: false",
            fix={key: False},
        )


def packing_loses_tokens(context: CheckContext) -> Iterator[Finding]:
    """PACKING_LOSES_TOKENS: there is no length to pack to, or the tail of a small corpus fills no block.

    Packed rows lose nothing otherwise: what is longer than max_length has its fate in the ledger before.
    """
    if _packs(context) and context.max_length is None:
        length = length_for([_length(row) for row in context.train.rows if row.whole], 0, _positions(context)) or 1024
        yield Finding(
            "PACKING_LOSES_TOKENS",
            Severity.ERROR,
            summary="packing: true and max_length: null: there is no length to pack to",
            why="the run stops when the rows are packed, after the base is loaded",
            remedy=f"set max_length: {length}, or packing: false",
        )
    if isinstance(context.data, PretrainingArguments) and not _flows(context.data) and not context.train.is_sample:
        yield from _lost_tail(context, context.data)


def _lost_tail(context: CheckContext, data: PretrainingArguments) -> Iterator[Finding]:
    separators = separators_of(context.tokenizer, data.respect_documents)
    n_separators = len(context.train.rows) * (len(separators.opening) + len(separators.closing))
    n_tokens = context.train.ledger.n_tokens + n_separators
    n_lost = n_tokens % data.max_length
    if not n_tokens or n_lost <= MAX_TAIL_SHARE * n_tokens:
        return
    n_blocks = n_tokens // data.max_length
    yield Finding(
        "PACKING_LOSES_TOKENS",
        Severity.WARNING if n_blocks else Severity.ERROR,
        summary=f"{n_lost / n_tokens:.0%} of the corpus is lost: its {n_tokens} tokens are {n_blocks} blocks of "
        f"max_length {data.max_length}, and the incomplete last block is not trained",
        why="in a corpus of a few blocks, the incomplete block is a large share"
        if n_blocks
        else "nothing is left to train",
        remedy=f"set max_length: {_shorter_block(n_tokens, data.max_length)}, or add text",
    )


def _shorter_block(n_tokens: int, max_length: int) -> int:
    """The largest half, quarter and so on of `max_length` of which the tail is small."""
    while max_length > 1 and n_tokens % max_length > MAX_TAIL_SHARE * n_tokens:
        max_length //= 2
    return max_length


def longer_than_positions(context: CheckContext) -> Iterator[Finding]:
    """LONGER_THAN_POSITIONS: sequences for whose end the model has no position.

    A table of positions ends in an index error. Rotary positions go on, where the model has never been.
    """
    positions = _positions(context)
    if positions is None:
        return
    long = [row for row in context.train.rows if any(len(one) > positions for one in row.examples)]
    pretrains = isinstance(context.data, PretrainingArguments)  # in blocks of max_length, whatever the documents are
    if not (int(context.max_length or 0) > positions if pretrains else long):
        return
    rotates = bool(getattr(context.base.config.get_text_config(), "rope_parameters", None))
    longest = context.max_length if pretrains else max(len(one) for row in long for one in row.examples)
    whole = f"blocks of {longest} tokens are" if pretrains else f"{len(long)} of {len(context.train.rows)} rows are"
    yield Finding(
        "LONGER_THAN_POSITIONS",
        Severity.WARNING if rotates and not pretrains else Severity.ERROR,
        summary=f"{whole} longer than the {positions} positions of {context.base.name}"
        + ("" if pretrains else f", the longest {longest} tokens"),
        why="the base has never seen these positions and predicts nonsense there"
        if rotates
        else "the base has no embedding for these positions: training ends in an index error",
        remedy=f"set max_length: {positions}",
        evidence=() if pretrains else tuple(_evidence(context, row) for row in long[:MAX_EVIDENCE]),
        n_rows=None if pretrains else len(long),
        fix={"max_length": positions},
    )


def evaluation_packed_otherwise(context: CheckContext) -> Iterator[Finding]:
    """EVALUATION_PACKED_OTHERWISE: training and evaluation losses are means over different things."""
    packs = getattr(context.training, "eval_packing", None)
    if context.stage is not Stage.SFT or context.held_out is None or packs is None or bool(packs) == _packs(context):
        return
    yield Finding(
        "EVALUATION_PACKED_OTHERWISE",
        Severity.NOTE,
        summary=f"packing: {str(_packs(context)).lower()} and eval_packing: {str(bool(packs)).lower()}",
        why="packed and unpacked means weight rows differently, so the two losses cannot be compared",
        remedy="remove eval_packing",
        fix={"eval_packing": None},
    )


def _gate_findings(context: CheckContext) -> list[Finding]:
    if not isinstance(context.data, DataArguments):
        return []
    lengths = {row.number: _length(row) for row in context.train.rows if row.fate is not RowFate.KEPT and row.whole}
    return threshold_findings(
        context.train.ledger,
        context.data,
        lengths=lengths,
        max_positions=_positions(context),
        n_total=context.train.n_rows,
    )


def _evidence(context: CheckContext, row: SampledRow) -> Evidence:
    """How long a row is, what became of it, and the end of what is trained of it."""
    fate = row.reason or row.fate.value.replace("_", " ")
    length = f"{_length(row)} tokens, " if row.whole else ""
    shown = excerpt(row.asked or " ".join(row.answers), 0, 60)
    tokens = context.labelled(row.examples[-1], -_N_TOKENS_SHOWN) if row.examples else ()
    return Evidence(f"{length}{fate}: {shown}"[:160], row.number, context.train.split, tokens)


def _n_trained(examples: Sequence[object]) -> int:
    return sum(int(getattr(example, "n_trained", 0)) for example in examples)


def _length(row: SampledRow) -> int:
    """Tokens of the longest example that the row would be without a limit."""
    return max(map(len, row.whole), default=0)


def _positions(context: CheckContext) -> int | None:
    longest = getattr(context.base.config.get_text_config(), "max_position_embeddings", None)
    return int(longest) if longest else None


def _packs(context: CheckContext) -> bool:
    return context.stage is Stage.SFT and bool(getattr(context.training, "packing", False))


def _takes_positions(context: CheckContext) -> bool:
    return "position_ids" in inspect.signature(context.base.skeleton.forward).parameters


def _flows(data: PretrainingArguments) -> bool:
    """Whether the corpus is drawn from without an end, so that there is no tail."""
    return data.streaming or len(data.datasets) > 1


CHECKS: tuple[Check, ...] = (
    gates, held_out_rows_dropped, tokens_dropped, prompts_cut, packing_contaminates, packing_loses_tokens,
    longer_than_positions, evaluation_packed_otherwise,
)  # fmt: skip
