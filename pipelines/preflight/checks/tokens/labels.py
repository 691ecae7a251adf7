"""Checks of the labels: the loss is on the answer, all of it, and on nothing else."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from trl import DPOConfig, SFTConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.evidence import MATERIAL_SHARE, Check, error_if_material, row_evidence, spread
from pipelines.preflight.checks.row_facts import end_token_id, trains_whole_rows, without_thoughts
from pipelines.preflight.checks.tokens.faithful_tokens import answer_does_not_round_trip, unknown_tokens
from pipelines.preflight.checks.tokens.first_token import double_bos, missing_bos
from pipelines.records.finding import Finding, Severity
from pipelines.training.data.truncation import Example

_N_THINK_TOKENS = 20  # `<think>`, white space and `</think>`, even letter by letter
_N_COLLATED = 8  # examples of different lengths are enough to see what padding does
_N_THINKING = 500  # rows whose answers are decoded: a template writes the block into most of them
_N_TOKENS_SHOWN = 8

Collate = Callable[[Sequence[Example]], Sequence[Any]]


def prompt_in_loss(context: CheckContext) -> Iterator[Finding]:
    """PROMPT_IN_LOSS: prompts are trained, because the recipe says so."""
    if context.stage is not Stage.SFT:
        return
    rows = [row for row in context.train.rows if row.asked.strip() and row.examples]
    if trains_whole_rows(context) and rows:
        key = "completion_only_loss" if context.keys.get("completion_only_loss") is False else "assistant_only_loss"
        n_prompt = sum(len(row.asked) for row in rows)
        share = n_prompt / max(1, n_prompt + sum(len(answer) for row in rows for answer in row.answers))
        yield Finding(
            "PROMPT_IN_LOSS",
            Severity.WARNING,
            summary=f"{key}: false puts the prompts of {len(rows)} rows into the loss, {share:.0%} of their text",
            why="the model learns to write questions and headers too",
            remedy=f"remove {key}",
            evidence=row_evidence(rows, lambda row: row.asked),
            n_rows=len(rows),
        )


def empty_think_trained(context: CheckContext) -> Iterator[Finding]:
    """EMPTY_THINK_TRAINED: trained answers begin with an empty <think></think>."""
    if not context.is_conversational or trains_whole_rows(context):
        return
    answers = (answer for row in context.train.rows for answer in row.answers)
    if "think" not in str(context.tokenizer.chat_template) and not any("</think>" in answer for answer in answers):
        return
    # Qwen3 and SmolLM3 are trained to answer this switch with an empty block
    rows = [row for row in context.train.rows if row.examples and "/no_think" not in row.asked]
    rows = spread([row for row in rows if "/nothink" not in row.asked], _N_THINKING)
    found = {row.number: place for row in rows if (place := _empty_think(context, row)) is not None}
    if len(found) >= max(1.0, MATERIAL_SHARE * len(rows)):
        yield Finding(
            "EMPTY_THINK_TRAINED",
            Severity.WARNING,
            summary=f"{len(found)} of {len(rows)} rows train an answer that begins with an empty <think></think>",
            why="the model learns to skip thinking, and to write the empty block itself",
            remedy="remove the empty block from these answers"
            if any("</think>" in answer for row in rows if row.number in found for answer in row.answers)
            else without_thoughts(context),
            evidence=row_evidence(
                (row for row in rows if row.number in found),
                lambda row: row.answers[-1],
                lambda row: context.labelled_around(*found[row.number], _N_TOKENS_SHOWN),
            ),
            n_rows=len(found),
        )


def _empty_think(context: CheckContext, row: SampledRow) -> tuple[Example, int] | None:
    """Where a trained turn begins with an empty block."""
    for example in row.examples:
        for place, (before, label) in enumerate(zip([IGNORED, *example.labels], example.labels, strict=False)):
            if before == IGNORED != label:
                text = str(context.tokenizer.decode(example.token_ids[place : place + _N_THINK_TOKENS]))
                if "".join(text.split()).startswith("<think></think>"):
                    return example, place
    return None


def rows_without_labels(context: CheckContext) -> Iterator[Finding]:
    """ROWS_WITHOUT_LABELS: rows that train nothing but the end token."""
    kept = [row for row in context.train.rows if row.examples]
    if context.stage is Stage.PRETRAIN or not kept:
        return
    end = end_token_id(context)
    found = []
    for row in kept:  # of an SFT row one example must have labels, of a pair both
        has_labels = [_has_labels(example, end) for example in row.examples]
        if not (all(has_labels) if context.stage is Stage.DPO else any(has_labels)):
            found.append(row)
    if found:
        few = Severity.WARNING if context.is_conversational else Severity.NOTE  # a text of one word is not damaged
        yield Finding(
            "ROWS_WITHOUT_LABELS",
            error_if_material(len(found), len(kept), few),
            summary=f"{len(found)} of {len(kept)} kept rows train nothing but their end token",
            why="the model learns nothing from such a row, or learns to answer with nothing",
            remedy="remove these rows, or use a base whose tokenizer knows the characters of their answers",
            evidence=row_evidence(
                found,
                lambda row: " | ".join(row.answers),
                lambda row: context.labelled(row.examples[0], -_N_TOKENS_SHOWN),
            ),
            n_rows=len(found),
        )


def _has_labels(example: Example, end: int) -> bool:
    """Whether a token other than the end is trained; the first token of an example is never predicted."""
    labels = example.labels[1:]
    return len(labels) > labels.count(IGNORED) + labels.count(end)


def pad_masks_end_token(context: CheckContext) -> Iterator[Finding]:
    """PAD_MASKS_END_TOKEN: the collator of the run takes a padding token out of the loss. Pretraining pads nothing."""
    rows = [row for row in context.train.rows if row.examples][:_N_COLLATED]
    collate = _collator(context)
    if not rows or collate is None:
        return
    lost = lost_to_padding([example for row in rows for example in row.examples], collate)
    if lost:
        tokens = sorted({str(context.tokenizer.decode([token_id])) for token_id in lost})
        yield Finding(
            "PAD_MASKS_END_TOKEN",
            Severity.ERROR,
            summary=f"padding removes {', '.join(map(repr, tokens))} from the loss of the first {len(rows)} rows",
            why="an end token that is masked as padding is never trained, so the model never stops",
            remedy="set pad_token to a token that no answer has, such as a reserved token of the vocabulary",
            n_rows=len(rows),
        )


def lost_to_padding(examples: Sequence[Example], collate: Collate) -> set[int]:
    """Trained token ids that are not trained in the labels that `collate` makes. The first token of an example is never
    predicted, so its label does not count."""
    return {
        label
        for example, labels in zip(examples, collate(examples), strict=True)
        for label, kept in list(zip(example.labels, labels, strict=False))[1:]
        if label != IGNORED and int(kept) != label
    }


def _collator(context: CheckContext) -> Collate | None:
    """TRL's collator as its trainers build it, from examples to labels; None if rows are not padded."""
    training = cast(SFTConfig | DPOConfig, context.training)
    if context.stage is Stage.PRETRAIN or getattr(training, "packing", False):
        return None
    if getattr(training, "padding_free", False):
        return None
    tokenizer = context.tokenizer
    pad_id = tokenizer.get_vocab().get(str(training.pad_token or tokenizer.pad_token or tokenizer.eos_token))
    if pad_id is None:
        return None
    multiple = training.pad_to_multiple_of if isinstance(training.pad_to_multiple_of, int) else None  # else it is auto
    if context.stage is Stage.DPO:
        pairs = DataCollatorForPreference(pad_token_id=pad_id, pad_to_multiple_of=multiple)
        return lambda examples: _preference_labels(pairs, examples)
    rows = DataCollatorForLanguageModeling(pad_token_id=pad_id, pad_to_multiple_of=multiple)
    return lambda examples: rows([{"input_ids": one.token_ids, "labels": one.labels} for one in examples])["labels"]


def _preference_labels(collator: DataCollatorForPreference, examples: Sequence[Example]) -> list[Any]:
    """Labels of chosen and rejected in turn, as the examples are."""
    pairs = []
    for one, other in zip(examples[::2], examples[1::2], strict=True):
        prompt = [token for token, label in zip(one.token_ids, one.labels, strict=True) if label == IGNORED]
        chosen, rejected = ([label for label in each.labels if label != IGNORED] for each in (one, other))
        pairs.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    batch: dict[str, Any] = collator(pairs)
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] * batch["attention_mask"] == 0, IGNORED).tolist()
    return [labels[place] for number in range(len(pairs)) for place in (number, len(pairs) + number)]


CHECKS: tuple[Check, ...] = (
    prompt_in_loss, empty_think_trained, rows_without_labels, pad_masks_end_token, answer_does_not_round_trip,
    unknown_tokens, double_bos, missing_bos,
)  # fmt: skip
