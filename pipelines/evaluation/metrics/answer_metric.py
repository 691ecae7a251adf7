"""What the modules of this folder share: a check of one answer becomes a figure over all, the same way for each.

A module says in a few lines what it checks and of what; it is loaded by the path of its folder:

    metric = evaluate.load("pipelines/evaluation/metrics/repetition")
    metric.compute(predictions=["one two three four five", "so so so so so so"])
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import evaluate

from pipelines.errors import UserError
from pipelines.evaluation.answer_checks.reference_answer import CannotCheck
from pipelines.evaluation.statistics.intervals import N_RESAMPLES, Estimate, bootstrap_mean, share

_TEXT = datasets.Value("string")
_TEXTS = datasets.Sequence(_TEXT)
_TOKEN_IDS = datasets.Sequence(datasets.Value("int64"))

_RETURNS = """
    seed, n_resamples: of the bootstrap, for figures that are no shares of yes.
Returns:
    n: answers to which the check applies; value: {value} over them; ci95: {interval}, None below {min_n};
    n_errors: answers that could not be checked; values: one for each answer, None where the check does not apply or
    could not be made. value is None without any answer.
"""


class AnswerMetric(evaluate.Metric, ABC):
    """A check of single answers as an `evaluate` module. A subclass names its inputs, in the order of `check`.

    `columns` go through Arrow by their types; `beside` are sequences of anything, one entry for each answer. What else
    `compute` is given reaches `check` by its name.
    """

    description: ClassVar[str]
    citation: ClassVar[str] = ""
    is_flag: ClassVar[bool] = False
    columns: ClassVar[dict[str, Any]] = {"predictions": _TEXT}
    beside: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[str] = "    predictions: the answers."

    @abstractmethod
    def check(self, *item: Any, **options: Any) -> bool | int | float | None:
        """The value of one answer, from its entry of each input; None where the check does not apply.

        Raises `CannotCheck` or `UserError` where the answer cannot be checked.
        """

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Add answers; what no UTF-8 can hold (lone surrogates) becomes a question mark, because Arrow refuses it."""
        given = {"predictions": predictions, "references": references, **kwargs}
        columns = {name: _encodable(column) for name, column in given.items()}
        super().add_batch(**columns)

    def _info(self) -> evaluate.MetricInfo:
        words = (
            {"value": "the share of yes", "interval": "Wilson's interval", "min_n": "one"}
            if self.is_flag
            else {"value": "the mean", "interval": "the percentile bootstrap's interval", "min_n": "two"}
        )
        features = [datasets.Features(self.columns)]
        if "references" in self.columns:  # one for each answer, or several
            features.append(datasets.Features({**self.columns, "references": _TEXTS}))
        return evaluate.MetricInfo(
            description=self.description,
            citation=self.citation,
            inputs_description=f"\nArgs:\n{self.inputs}{_RETURNS.format(**words)}",
            features=features if len(features) > 1 else features[0],
        )

    def _compute(self, *, seed: int = 0, n_resamples: int = N_RESAMPLES, **given: Any) -> dict[str, Any]:
        names = [*self.columns, *self.beside]
        options = {name: value for name, value in given.items() if name not in names}
        values: list[bool | int | float | None] = []
        n_errors = 0
        for item in zip(*(given[name] for name in names), strict=True):
            try:
                values.append(self.check(*item, **options))
            except (CannotCheck, UserError):
                values.append(None)
                n_errors += 1
        estimate = self._estimate([value for value in values if value is not None], seed, n_resamples)
        return {**estimate, "n_errors": n_errors, "values": values}

    def _estimate(self, known: Sequence[bool | int | float], seed: int, n_resamples: int) -> dict[str, Any]:
        if self.is_flag and known:
            return _json(share(known))
        if len(known) >= 2:
            return _json(bootstrap_mean(known, seed=seed, n_resamples=n_resamples))
        return {"n": len(known), "value": float(known[0]) if known else None, "ci95": None}


class PromptMetric(AnswerMetric):
    """A check of an answer beside its prompt."""

    columns: ClassVar[dict[str, Any]] = {"predictions": _TEXT, "prompts": _TEXT}
    inputs = "    predictions: the answers.\n    prompts: what was asked, instruction and input."


class ReferenceMetric(AnswerMetric):
    """A check of an answer beside what is right."""

    columns: ClassVar[dict[str, Any]] = {"predictions": _TEXT, "references": _TEXT}
    inputs = (
        "    predictions: the answers.\n    references: a right answer for each, or a list of them; the best counts."
    )

    def check(self, answer: str, references: str | Sequence[str]) -> bool | float:
        """As `against`; a column of references holds one text for each answer, or several."""
        return self.against(answer, [references] if isinstance(references, str) else list(references))

    @abstractmethod
    def against(self, answer: str, references: list[str]) -> bool | float:
        """The value of one answer against all that are right."""


class TokenMetric(AnswerMetric):
    """A check of the token ids that a model generated."""

    columns: ClassVar[dict[str, Any]] = {"predictions": _TOKEN_IDS}
    inputs = "    predictions: the generated token ids of each answer.\n    end_token_ids: those that end an answer."


class ConstraintMetric(AnswerMetric):
    """A check of an answer beside the verifiable instructions of its prompt."""

    beside = ("constraints",)
    inputs = """    predictions: the answers.
    constraints: for each answer a list of {"kind": ..., ...}, or {"instruction_id_list": [...], "kwargs": [...]} of
        IFEval. One that is unknown or lacks an argument is an error."""


def _json(estimate: Estimate) -> dict[str, Any]:
    return {"n": estimate.n, "value": estimate.value, "ci95": list(estimate.ci95)}


def _encodable(column: Any) -> Any:
    if isinstance(column, str):
        return column.encode("utf-8", "replace").decode("utf-8")
    return [_encodable(entry) for entry in column] if isinstance(column, list | tuple) else column
