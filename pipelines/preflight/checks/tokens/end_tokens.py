"""Checks of the end token: it is trained at the end of every answer, and generation stops at it and nowhere before."""

from collections.abc import Iterator
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.sampled_rows import (
    MATERIAL_SHARE,
    are_too_many,
    dropped_rows,
    end_token_id,
    end_token_ids,
    rows_as_evidence,
    trains_whole_rows,
)
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.truncation import Example

_N_TOKENS_SHOWN = 8


def end_token_not_trained(context: CheckContext) -> Iterator[Finding]:
    """Every trained turn ends with the end token, and no row is left out because its turn does not."""
    if context.stage is Stage.PRETRAIN:
        return
    left_out = [*dropped_rows(context, "turn_without_end_token"), *dropped_rows(context, "end_token_inside_turn")]
    unended, evidence = _unended(context)
    if not left_out and not unended:
        return
    n_seen = len(context.train.rows)
    parts = [f"{unended} are trained without the end token at the end of each answer"] * bool(unended)
    parts += [f"{len(left_out)} are left out, since the template ends their turn otherwise, or in its middle"] * bool(
        left_out
    )
    material = unended >= MATERIAL_SHARE * n_seen or are_too_many(context, len(left_out))
    yield Finding(
        "END_TOKEN_NOT_TRAINED",
        Severity.ERROR if material else Severity.WARNING,
        summary=f"of {n_seen} rows {' and '.join(parts)}",
        why="a model that never sees the end of an answer never stops",
        remedy="set chat_template_path to a template that ends every assistant turn with the same special token, and "
        "split_special_tokens: false in tokenizer_config.json",
        evidence=(*evidence, *rows_as_evidence(context, left_out))[:MAX_EVIDENCE],
        n_rows=unended + len(left_out),
    )


def end_token_mismatch(context: CheckContext) -> Iterator[Finding]:
    """Generation stops at the end that is trained, and at nothing inside an answer.

    The base's ends go on to stop generation beside the trained one (`align_end_token`). Pretraining aligns nothing.
    """
    base, tokenizer = context.base, context.tokenizer
    source = base.generation_config or base.config.get_text_config()
    configured = getattr(source, "eos_token_id", None)
    stops = set(configured if isinstance(configured, list) else [configured]) - {None}
    if context.stage is Stage.PRETRAIN:
        if stops and not base.from_scratch and tokenizer.eos_token_id not in {None, *stops}:
            yield _documents_end_otherwise(context, sorted(stops))
        return
    if trains_whole_rows(context) or not any(row.examples for row in context.train.rows):
        return
    stops -= end_token_ids(context)
    found = [(row, place) for row in context.train.rows if (place := _stop_inside(tokenizer, row, stops)) is not None]
    if found:
        yield _stops_inside_answers(context, found)


def _unended(context: CheckContext) -> tuple[int, list[Evidence]]:
    """Rows with a trained turn that ends with another token, and the first of them."""
    rows = [row for row in context.train.rows if row.examples]
    if not rows:
        return 0, []
    ends, has_spans = end_token_ids(context), not trains_whole_rows(context)
    found = [(row, one) for row in rows if (one := _unended_example(row, ends, has_spans)) is not None]
    n_split = sum(row.fate is RowFate.SPLIT for row, _ in found)
    if n_split < MATERIAL_SHARE * len(context.train.rows):  # one row in max_length is cut just before its end token
        found = [(row, one) for row, one in found if row.fate is not RowFate.SPLIT]
    evidence = [
        Evidence(head(row.answers[-1][-80:]), row.number, context.train.split, context.labelled(one, -_N_TOKENS_SHOWN))
        for row, one in found[:MAX_EVIDENCE]
    ]
    return len(found), evidence


def _unended_example(row: SampledRow, ends: set[int], has_spans: bool) -> Example | None:
    """The first example of `row` with an unended turn. Of a split row the last piece alone has to end."""
    has_several = has_spans and sum(message["role"] == "assistant" for message in row.messages) > 1
    for example in row.examples[-1:] if row.fate is RowFate.SPLIT else row.examples:
        labels = example.labels
        last = [labels[-1]]
        if has_several:
            last += [label for label, after in pairwise(labels) if after == IGNORED != label]
        if not ends.issuperset(last):
            return example
    return None


def _documents_end_otherwise(context: CheckContext, stops: list[int]) -> Finding:
    tokenizer = context.tokenizer
    names = ", ".join(repr(tokenizer.decode([token_id])) for token_id in stops)
    return Finding(
        "END_TOKEN_MISMATCH",
        Severity.WARNING,
        summary=f"documents end with {tokenizer.eos_token!r}, and generation of the base stops at {names}",
        why="the model learns one end token and generation stops at another, so its text continues",
        remedy=f'write "eos_token_id": {tokenizer.eos_token_id} into generation_config.json of the base, or name the '
        "base's own tokenizer",
    )


def _stop_inside(tokenizer: PreTrainedTokenizerBase, row: SampledRow, stops: set[int]) -> tuple[Example, int] | None:
    """The first trained token of `row` at which generation would stop. A special token that the answer itself spells
    is another fault, TEMPLATE_MARKS_IN_ANSWER."""
    for example in row.examples:
        for stop in stops:
            if stop not in example.labels:
                continue
            token = tokenizer.added_tokens_decoder.get(stop)
            if token is None or not any(str(token) in answer for answer in row.answers):
                return example, example.labels.index(stop)
    return None


def _stops_inside_answers(context: CheckContext, found: list[tuple[SampledRow, tuple[Example, int]]]) -> Finding:
    n_seen, end = len(context.train.rows), end_token_id(context)
    _, (first, place) = found[0]
    return Finding(
        "END_TOKEN_MISMATCH",
        Severity.ERROR if len(found) >= MATERIAL_SHARE * n_seen else Severity.WARNING,
        summary=f"generation of the base stops at {context.tokenizer.decode([first.token_ids[place]])!r}, which stands "
        f"inside the answers of {len(found)} of {n_seen} rows",
        why="generation would stop inside the learned answers",
        remedy=f'write "eos_token_id": {end} into generation_config.json of {context.base.name}',
        evidence=tuple(
            Evidence(
                head(row.answers[0]), row.number, context.train.split,
                context.labelled(one, max(0, at - _N_TOKENS_SHOWN), at + _N_TOKENS_SHOWN),
            )
            for row, (one, at) in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )  # fmt: skip
