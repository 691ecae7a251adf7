"""Checks of the end token: it is trained at the end of every answer, and generation stops there and not earlier."""

from collections.abc import Iterator
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import MATERIAL_SHARE, error_if_material, row_evidence
from pipelines.preflight.checks.row_facts import (
    are_too_many,
    dropped_evidence,
    dropped_rows,
    end_token_id,
    end_token_ids,
    trains_whole_rows,
)
from pipelines.records.finding import MAX_EVIDENCE, Finding, Severity
from pipelines.training.data.ledger import RowFate
from pipelines.training.data.truncation import Example

_N_TOKENS_SHOWN = 8


def end_token_not_trained(context: CheckContext) -> Iterator[Finding]:
    """END_TOKEN_NOT_TRAINED: a trained turn without the end token, or rows dropped because their turn has none."""
    if context.stage is Stage.PRETRAIN:
        return
    dropped = dropped_rows(context, "turn_without_end_token", "end_token_inside_turn")
    unended = _unended(context)
    if not dropped and not unended:
        return
    n_rows = len(context.train.rows)
    parts = [f"{len(unended)} are trained without the end token at the end of each answer"] * bool(unended)
    parts += [f"{len(dropped)} are dropped, because the template ends their turn differently"] * bool(dropped)
    material = len(unended) >= MATERIAL_SHARE * n_rows or are_too_many(context, len(dropped))
    examples = {row.number: one for row, one in unended}
    evidence = row_evidence(
        [row for row, _ in unended],
        lambda row: row.answers[-1][-80:],
        lambda row: context.labelled(examples[row.number], -_N_TOKENS_SHOWN),
    )
    yield Finding(
        "END_TOKEN_NOT_TRAINED",
        Severity.ERROR if material else Severity.WARNING,
        summary=f"of {n_rows} rows {' and '.join(parts)}",
        why="a model that is never trained on the end of an answer does not stop",
        remedy="set chat_template_path to a template that ends every assistant turn with the same special token, and "
        "split_special_tokens: false in tokenizer_config.json",
        evidence=(*evidence, *dropped_evidence(dropped))[:MAX_EVIDENCE],
        n_rows=len(unended) + len(dropped),
    )


def end_token_mismatch(context: CheckContext) -> Iterator[Finding]:
    """END_TOKEN_MISMATCH: generation stops inside answers, or not where documents end.

    Fine-tuning makes the trained end token stop generation too (`align_end_token`); pretraining aligns nothing.
    """
    base, tokenizer = context.base, context.tokenizer
    source = base.generation_config or base.config.get_text_config()
    configured = getattr(source, "eos_token_id", None)
    stops = set(configured if isinstance(configured, list) else [configured]) - {None}
    if context.stage is Stage.PRETRAIN:
        if stops and not base.from_scratch and tokenizer.eos_token_id not in {None, *stops}:
            names = ", ".join(repr(tokenizer.decode([token_id])) for token_id in sorted(stops))
            yield Finding(
                "END_TOKEN_MISMATCH",
                Severity.WARNING,
                summary=f"documents end with {tokenizer.eos_token!r}, but the base stops generation at {names}",
                why="the model learns one end token and generation stops at another, so its text does not end",
                remedy=f'write "eos_token_id": {tokenizer.eos_token_id} into the base\'s generation_config.json, or '
                "use the base's own tokenizer",
            )
        return
    if trains_whole_rows(context) or not any(row.examples for row in context.train.rows):
        return
    stops -= end_token_ids(context)
    found = [(row, one) for row in context.train.rows if (one := _stop_inside(tokenizer, row, stops))]
    if not found:
        return
    example, place = found[0][1]
    places = {row.number: one for row, one in found}
    yield Finding(
        "END_TOKEN_MISMATCH",
        error_if_material(len(found), len(context.train.rows)),
        summary=f"the base stops generation at {tokenizer.decode([example.token_ids[place]])!r}, which is inside the "
        f"answers of {len(found)} of {len(context.train.rows)} rows",
        why="generation would stop in the middle of such answers",
        remedy=f'write "eos_token_id": {end_token_id(context)} into generation_config.json of {base.name}',
        evidence=row_evidence(
            [row for row, _ in found],
            lambda row: row.answers[0],
            lambda row: context.labelled_around(*places[row.number], _N_TOKENS_SHOWN),
        ),
        n_rows=len(found),
    )


def _unended(context: CheckContext) -> list[tuple[SampledRow, Example]]:
    """Rows with a trained turn that ends with another token, with that example."""
    rows = [row for row in context.train.rows if row.examples]
    if not rows:
        return []
    ends, has_spans = end_token_ids(context), not trains_whole_rows(context)
    return [(row, one) for row in rows if (one := _unended_example(row, ends, has_spans)) is not None]


def _unended_example(row: SampledRow, ends: set[int], has_spans: bool) -> Example | None:
    """The first example of `row` with an unended turn. Of a split row only the last piece must end."""
    has_several = has_spans and sum(message["role"] == "assistant" for message in row.messages) > 1
    for example in row.examples[-1:] if row.fate is RowFate.SPLIT else row.examples:
        last = [example.labels[-1]]
        if has_several:
            last += [label for label, after in pairwise(example.labels) if after == IGNORED != label]
        if not ends.issuperset(last):
            return example
    return None


def _stop_inside(tokenizer: PreTrainedTokenizerBase, row: SampledRow, stops: set[int]) -> tuple[Example, int] | None:
    """The first trained token of `row` that stops generation. One that the answer's text contains is another finding,
    TEMPLATE_MARKS_IN_ANSWER."""
    for example in row.examples:
        for stop in stops.intersection(example.labels):
            token = tokenizer.added_tokens_decoder.get(stop)
            if token is None or not any(str(token) in answer for answer in row.answers):
                return example, example.labels.index(stop)
    return None
