"""What `keep_best` measures at an evaluation, one value for each held-out row: its loss, or a metric of the answer.

Metrics are those of compare.py, on prompts that are read as there.
"""

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, Trainer

from pipelines.errors import UserError
from pipelines.evaluation.code_execution.execution import EXECUTION_METRICS, execution_results
from pipelines.evaluation.metrics.registry import METRICS
from pipelines.evaluation.prompts.prompt import Prompt
from pipelines.evaluation.prompts.prompt_sets import prompts_of_row
from pipelines.evaluation.statistics.metric_definition import Group, MetricDefinition
from pipelines.evaluation.statistics.metric_table import MetricTable
from pipelines.evaluation.statistics.row_groups import group_of, groups_by_instruction, labels_of
from pipelines.inference.generation import Answer, SamplingPolicy, generate_answers
from pipelines.inference.teacher_forcing import AnswerRow, answer_logits
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt
from pipelines.recipe.keep_best import KeepBest

_N_ANSWERS_AT_ONCE = 16
_LOSS = MetricDefinition(
    "loss", "held-out loss", "nats_per_token", "lower", "mean loss of a trained token of held-out rows",
    Group.LIKELIHOOD,
)  # fmt: skip
Values = Sequence[Sequence[float]]  # of each row its numerator and denominator


class HeldOutMeasure(Protocol):
    """Held-out rows and what is measured of each. `groups` has a label for each row."""

    @property
    def groups(self) -> Sequence[Hashable]: ...
    @property
    def left_out(self) -> Mapping[str, int]: ...
    @property
    def needs_every_rank(self) -> bool: ...
    def values(self, trainer: Trainer, model: Any) -> Values: ...
    def table(self, values: Mapping[str, Values]) -> MetricTable: ...


@dataclass(frozen=True)
class AnswerMetric:
    """Greedy answers to `prompts` (token ids in `rendered`), each scored by one metric; every rank takes a share."""

    best: KeepBest
    tokenizer: PreTrainedTokenizerBase
    prompts: Sequence[Prompt]
    rendered: Sequence[list[int]]
    max_new_tokens: int
    left_out: Mapping[str, int]
    needs_every_rank: bool = True

    @property
    def groups(self) -> Sequence[Hashable]:
        """Prompts of one group depend on each other."""
        return [prompt.dependence for prompt in self.prompts]

    def values(self, trainer: Trainer, model: Any) -> Values:
        """Answer and score. Raises `UserError` for NaN logits and if memory runs out."""
        loaded = LoadedModel("trained", "", model, self.tokenizer)
        policy = SamplingPolicy(max_new_tokens=self.max_new_tokens)
        found = generate_answers(loaded, self.rendered, policy, batch_size=_N_ANSWERS_AT_ONCE)
        answers = [only for [only] in found]
        if not trainer.is_world_process_zero():
            return []  # rank 0 tells the others
        if self.best.runs_code:
            results = execution_results(self.prompts, [[one] for one in answers])
            return [(float(bool(getattr(only, self.best.value))), 1.0) for [only] in results]
        check = METRICS[self.best.value].check
        pairs = zip(self.prompts, answers, strict=True)
        return [(float(check(prompt.checked(answer)) or 0), 1.0) for prompt, answer in pairs]

    def table(self, values: Mapping[str, Values]) -> MetricTable:
        """Figures and differences of the steps."""
        known = {one.name: one for one in EXECUTION_METRICS} | {name: one.definition for name, one in METRICS.items()}
        columns = {step: [value for value, _ in found] for step, found in values.items()}
        return MetricTable.of_values(known[self.best.value], columns).with_groups(self.groups)


@dataclass(frozen=True)
class RowLosses:
    """The loss of tokenized held-out rows, for the interval of the loss that the trainer measures on all of them."""

    rows: Sequence[AnswerRow]
    groups: Sequence[Hashable]
    left_out: Mapping[str, int]
    needs_every_rank: bool = False

    def values(self, trainer: Trainer, model: Any) -> Values:  # noqa: ARG002
        """Nats and trained tokens of each row."""
        found = []
        for row, logits in answer_logits(model, self.rows):
            labels = torch.tensor(row.labels, device=logits.device)
            loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
            found.append((float(loss), float(len(row.labels))))
        return found

    def table(self, values: Mapping[str, Values]) -> MetricTable:
        """Figures and differences of the steps."""
        nats, tokens = ({step: [one[place] for one in found] for step, found in values.items()} for place in (0, 1))
        return MetricTable.of_ratios(_LOSS, nats, tokens).with_groups(self.groups)


def answer_metric(
    best: KeepBest, rows: Dataset, tokenizer: PreTrainedTokenizerBase, limits: tuple[int, int], *, chat: bool, seed: int
) -> AnswerMetric:
    """Draw prompts of the held-out `rows` to which the metric applies; `limits` are the number of prompts and of new
    tokens. Raises `UserError` for fewer than two."""
    prompts: list[Prompt] = []
    left_out = Counter[str]()
    for number, row in enumerate(rows):
        try:
            prompts += prompts_of_row(row, number, number, f"held-out row {number}")
        except UserError:
            left_out["without a prompt"] += 1
    alone = [None if one.context else one.instruction for one in prompts]
    groups = groups_by_instruction([one.group for one in prompts], alone)
    prompts = [replace(one, group=group) for one, group in zip(prompts, groups, strict=True)]
    applying = [one for one in prompts if _applies(best, one)]
    left_out["not of this metric"] = len(prompts) - len(applying)
    if len(applying) < 2:
        raise UserError(
            f"keep_best: {best} applies to {len(applying)} of {len(rows)} held-out rows, expected two or more",
            "add held-out rows that it applies to (see the metrics of compare.py), or set keep_best: loss",
        )
    drawn = _drawn(range(len(applying)), limits[0], seed)
    left_out["not drawn"] = len(applying) - len(drawn)
    chosen, style = [applying[place] for place in drawn], PromptStyle.CHAT if chat else PromptStyle.RAW
    rendered = [render_prompt(tokenizer, one.asked, style) for one in chosen]
    return AnswerMetric(best, tokenizer, chosen, rendered, limits[1], +left_out)


def row_losses(examples: Dataset, rows: Dataset, numbers: Sequence[int], n: int, seed: int) -> RowLosses:
    """Draw `n` of the tokenized `examples`, made of the held-out `rows` with these numbers."""
    read = [(number, AnswerRow.of(one)) for number, one in zip(numbers, examples, strict=True)]
    trained = [one for one in read if one[1].places]
    chosen = [trained[place] for place in _drawn(range(len(trained)), n, seed)]
    groups = labels_of([group_of(rows[number]) or f"row {number}" for number, _ in chosen])
    return RowLosses([row for _, row in chosen], groups, +Counter({"not drawn": len(trained) - len(chosen)}))


def _applies(best: KeepBest, prompt: Prompt) -> bool:
    if best.runs_code:
        return prompt.asks_for_code if best is KeepBest.RUNS else prompt.tests is not None
    return METRICS[best.value].check(prompt.checked(Answer("", 0, False, ()))) is not None


def _drawn(places: range, n: int, seed: int) -> list[int]:
    """The first rows can all be of one source."""
    return list(places) if n >= len(places) else sorted(random.Random(seed).sample(places, n))
