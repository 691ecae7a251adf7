"""Checks of the labels: what is in the loss is the answer, whole, and as the row has it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from trl import DPOConfig, SFTConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.kind import Check
from pipelines.preflight.checks.sampled_rows import MATERIAL_SHARE, end_token_id, spread, trains_whole_rows
from pipelines.preflight.checks.tokens.faithful_tokens import answer_does_not_round_trip, unknown_tokens
from pipelines.preflight.checks.tokens.first_token import double_bos, missing_bos
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity
from pipelines.training.data.truncation import Example

_MIN_PROMPT = 40  # characters: an answer may well begin with the words of a shorter prompt
_REPEATED_SHARE = 0.5  # of the rows: completing or mending a text repeats it too, but not in most rows of a set
_N_THINK_TOKENS = 20  # `<think>`, white space and `</think>`, even letter by letter
_N_COLLATED = 8  # examples of different lengths are enough to see what padding does
_N_THINKING = 500  # rows whose answers are looked at: a template writes the block into most of them
_N_TOKENS_SHOWN = 8

Batch = dict[str, Any]
Collate = Callable[[Sequence[Example]], Sequence[Any]]


def prompt_in_loss(context: CheckContext) -> Iterator[Finding]:
    """Prompts are not trained: neither by the recipe nor because the answers begin with them."""
    if context.stage is not Stage.SFT:
        return
    asking = [row for row in context.train.rows if row.asked.strip() and row.examples]
    if trains_whole_rows(context) and asking:
        yield _prompts_by_recipe(context, asking)
        return
    repeated = [row for row in asking if _repeats_prompt(row)]
    if asking and len(repeated) >= _REPEATED_SHARE * len(asking):
        yield Finding(
            "PROMPT_IN_LOSS",
            Severity.WARNING,
            summary=f"{len(repeated)} of {len(asking)} answers begin with their whole prompt",
            why="the model learns to repeat the question before it answers",
            remedy="remove the prompt from the answer column (data_prep/build_instructions.py --column_map)",
            evidence=tuple(
                Evidence(head(row.answers[0]), row.number, context.train.split) for row in repeated[:MAX_EVIDENCE]
            ),
            n_rows=len(repeated),
        )


def empty_think_trained(context: CheckContext) -> Iterator[Finding]:
    """No answer is trained to begin with an empty block of thoughts."""
    if not context.is_conversational or trains_whole_rows(context) or not _may_think(context):
        return
    rows = spread([row for row in context.train.rows if row.examples and not _asks_not_to_think(row)], _N_THINKING)
    found = [(row, place) for row in rows if (place := _empty_think(context, row)) is not None]
    if len(found) < max(1.0, MATERIAL_SHARE * len(rows)):
        return
    yield Finding(
        "EMPTY_THINK_TRAINED",
        Severity.WARNING,
        summary=f"in {len(found)} of {len(rows)} rows a trained answer begins with an empty <think></think>",
        why="the model learns to skip thinking, and to write the empty block when it is served without one",
        remedy='give the rows a column chat_template_kwargs with {"enable_thinking": false}, which puts the block into '
        "the prompt in templates that know it, or set chat_template_path to a template without it",
        evidence=tuple(
            Evidence(
                head(row.answers[-1]), row.number, context.train.split,
                context.labelled(one, max(0, at - _N_TOKENS_SHOWN), at + _N_TOKENS_SHOWN),
            )
            for row, (one, at) in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )  # fmt: skip


def rows_without_labels(context: CheckContext) -> Iterator[Finding]:
    """Every kept row has something to learn besides its end token."""
    kept = [row for row in context.train.rows if row.examples]
    if context.stage is Stage.PRETRAIN or not kept:
        return
    end = end_token_id(context)
    found = [row for row in kept if not all(_has_labels(group, end) for group in _groups(context, row))]
    if not found:
        return
    few = Severity.WARNING if context.is_conversational else Severity.NOTE  # a text of one word is no damaged row
    yield Finding(
        "ROWS_WITHOUT_LABELS",
        Severity.ERROR if len(found) >= MATERIAL_SHARE * len(kept) else few,
        summary=f"{len(found)} of {len(kept)} kept rows have nothing to predict except their end token (what comes "
        "first in a row is never predicted)",
        why="such a row teaches nothing, or teaches the model to answer with nothing",
        remedy="remove these rows, or use a base whose tokenizer can encode their answers",
        evidence=tuple(
            Evidence(
                head(" | ".join(row.answers)),
                row.number,
                context.train.split,
                context.labelled(row.examples[0], -_N_TOKENS_SHOWN),
            )
            for row in found[:MAX_EVIDENCE]
        ),
        n_rows=len(found),
    )


def pad_masks_end_token(context: CheckContext) -> Iterator[Finding]:
    """The collator of the run leaves every label as it is, whatever token it pads with. Pretraining pads nothing."""
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
            summary=f"padding takes {', '.join(map(repr, tokens))} out of the loss of the first {len(rows)} rows",
            why="an end token that counts as padding is never trained, so the model never stops",
            remedy="set pad_token to a token that no answer contains, such as a reserved one",
            n_rows=len(rows),
        )


def lost_to_padding(examples: Sequence[Example], collate: Collate) -> set[int]:
    """Trained token ids that are not trained any more in the labels that `collate` makes of `examples`. The first token
    of an example is never predicted, so its label does not count."""
    collated = collate(examples)
    return {
        label
        for example, labels in zip(examples, collated, strict=True)
        for label, kept in list(zip(example.labels, labels, strict=False))[1:]
        if label != IGNORED and int(kept) != label
    }


def _collator(context: CheckContext) -> Collate | None:
    """From examples to rows of labels, by TRL's collator as `SFTTrainer` and `DPOTrainer` build it; None where rows
    are not padded."""
    training = cast(SFTConfig | DPOConfig, context.training)
    vocabulary = context.tokenizer.get_vocab()
    if (
        context.stage is Stage.PRETRAIN
        or getattr(training, "packing", False)
        or getattr(training, "padding_free", False)
    ):
        return None
    pad_id = vocabulary.get(str(training.pad_token or context.tokenizer.pad_token or context.tokenizer.eos_token))
    if pad_id is None:
        return None
    multiple = training.pad_to_multiple_of if isinstance(training.pad_to_multiple_of, int) else None  # else it is auto
    if context.stage is Stage.DPO:
        pairs = DataCollatorForPreference(pad_token_id=pad_id, pad_to_multiple_of=multiple)
        return lambda examples: _preference_labels(pairs, examples)
    rows = DataCollatorForLanguageModeling(pad_token_id=pad_id, pad_to_multiple_of=multiple)
    return lambda examples: rows([{"input_ids": one.token_ids, "labels": one.labels} for one in examples])["labels"]


def _preference_labels(collator: DataCollatorForPreference, examples: Sequence[Example]) -> list[Any]:
    """Labels of chosen and rejected by turns, as the examples are."""
    pairs = list(zip(examples[::2], examples[1::2], strict=True))
    batch: Batch = collator(
        [
            {
                "prompt_ids": [
                    token for token, label in zip(one.token_ids, one.labels, strict=True) if label == IGNORED
                ],
                "chosen_ids": [label for label in one.labels if label != IGNORED],
                "rejected_ids": [label for label in other.labels if label != IGNORED],
            }
            for one, other in pairs
        ]
    )
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] * batch["attention_mask"] == 0, IGNORED).tolist()
    return [labels[place] for number in range(len(pairs)) for place in (number, len(pairs) + number)]


def _prompts_by_recipe(context: CheckContext, asking: list[SampledRow]) -> Finding:
    key = "completion_only_loss" if context.keys.get("completion_only_loss") is False else "assistant_only_loss"
    n_asked = sum(len(row.asked) for row in asking)
    share = n_asked / max(1, n_asked + sum(len(answer) for row in asking for answer in row.answers))
    return Finding(
        "PROMPT_IN_LOSS",
        Severity.WARNING,
        summary=f"{key}: false puts the prompts of {len(asking)} rows into the loss, {share:.0%} of their text",
        why="the model learns to write questions and headers as well as answers",
        remedy=f"remove {key}",
        evidence=tuple(Evidence(head(row.asked), row.number, context.train.split) for row in asking[:MAX_EVIDENCE]),
        n_rows=len(asking),
    )


def _repeats_prompt(row: SampledRow) -> bool:
    asked = row.asked.strip()
    return len(asked) >= _MIN_PROMPT and row.answers[0].lstrip().startswith(asked)


def _may_think(context: CheckContext) -> bool:
    """Whether the template or a row can write the block at all."""
    answers = (answer for row in context.train.rows for answer in row.answers)
    return "think" in str(context.tokenizer.chat_template) or any("</think>" in answer for answer in answers)


def _asks_not_to_think(row: SampledRow) -> bool:
    """Qwen3 and SmolLM3 are trained to answer this switch with an empty block."""
    return "/no_think" in row.asked or "/nothink" in row.asked


def _empty_think(context: CheckContext, row: SampledRow) -> tuple[Example, int] | None:
    """Where a trained turn begins with an empty block."""
    for example in row.examples:
        begins = zip([IGNORED, *example.labels], example.labels, strict=False)
        for place in [place for place, (before, label) in enumerate(begins) if before == IGNORED != label]:
            text = str(context.tokenizer.decode(example.token_ids[place : place + _N_THINK_TOKENS]))
            if "".join(text.split()).startswith("<think></think>"):
                return example, place
    return None


def _groups(context: CheckContext, row: SampledRow) -> list[tuple[Example, ...]]:
    """Examples of which one at least must have labels: those of an SFT row together, chosen and rejected each."""
    return [(example,) for example in row.examples] if context.stage is Stage.DPO else [row.examples]


def _has_labels(examples: Sequence[Example], end: int) -> bool:
    """Whether a token besides the end is trained; the first token of an example is never predicted."""
    for example in examples:
        labels = example.labels[1:]
        if len(labels) > labels.count(IGNORED) + labels.count(end):
            return True
    return False


CHECKS: tuple[Check, ...] = (
    prompt_in_loss, empty_think_trained, rows_without_labels, pad_masks_end_token, answer_does_not_round_trip,
    unknown_tokens, double_bos, missing_bos,
)  # fmt: skip
