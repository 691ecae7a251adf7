"""Any metric of `registry` as a local `evaluate` module, by its name:

metric = evaluate.load("pipelines/evaluation/metrics/answer", "rouge_l")
metric.compute(predictions=["The sky."], references=["the blue sky"])
"""

from typing import Any

import datasets
import evaluate

from pipelines.errors import UserError
from pipelines.evaluation.metrics.checked_answer import CheckedAnswer
from pipelines.evaluation.metrics.constraints import constraints_of
from pipelines.evaluation.metrics.numeric_answer import marked_number
from pipelines.evaluation.metrics.python_answer import requested_function
from pipelines.evaluation.metrics.registry import METRICS
from pipelines.evaluation.statistics.intervals import N_RESAMPLES, bootstrap_mean
from pipelines.evaluation.statistics.metric_definition import Group
from pipelines.evaluation.statistics.shares import share

_INPUTS = """
Args:
    predictions: the answers.
    references: the right answer for each, or a list of them; the best one counts. Only for metrics that compare with a
        reference; for numeric_answer the expected number.
    prompts: the instruction of each answer, for metrics that compare with the prompt.
    constraints: for each answer a list as in a row's `constraints`, or {"instruction_id_list", "kwargs"} of IFEval.
    n_tokens, stopped: for each answer its number of tokens, and whether it ended with the end token.
    seed, n_resamples: of the bootstrap.
Returns:
    n: answers to which the metric applies; value: their mean; ci95: Wilson's interval for yes or no, else the
    percentile bootstrap's, None below two answers; n_errors: answers whose constraints or number could not be read;
    values: one for each answer, None where the metric does not apply.
"""


class AnswerMetric(evaluate.Metric):
    """The class that `evaluate.load` finds in this file; `config_name` is the metric's name."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in METRICS:
            known = ", ".join(METRICS)
            raise UserError(f"{self.config_name!r} is not the name of a metric", f"load one of {known}")
        columns: dict[str, Any] = {"predictions": datasets.Value("string")}
        if METRICS[self.config_name].definition.group is Group.REFERENCE:
            columns["references"] = datasets.Sequence(datasets.Value("string"))
        meaning = METRICS[self.config_name].definition.meaning
        return evaluate.MetricInfo(
            description=meaning, citation="", inputs_description=_INPUTS, features=datasets.Features(columns)
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Add answers. Lone surrogates become question marks, because Arrow stores UTF-8."""
        if references is not None:
            references = [[one] if isinstance(one, str) else one for one in map(_encodable, references)]
        super().add_batch(predictions=_encodable(predictions), references=references, **kwargs)

    def _compute(self, *, seed: int = 0, n_resamples: int = N_RESAMPLES, **columns: Any) -> dict[str, Any]:
        metric = METRICS[self.config_name]
        values: list[Any] = []
        n_errors = 0
        for place in range(len(columns["predictions"])):
            try:
                row = {name: column[place] for name, column in columns.items()}
                values.append(metric.check(self._checked_answer(row)))
            except UserError:
                values.append(None)
                n_errors += 1
        known = [value for value in values if value is not None]
        found: dict[str, Any] = {"n": len(known), "value": float(known[0]) if known else None, "ci95": None}
        if len(known) > 1 or (known and metric.definition.is_flag):
            is_flag = metric.definition.is_flag
            figure = share(known) if is_flag else bootstrap_mean(known, seed=seed, n_resamples=n_resamples)
            found |= {"value": figure.value, "ci95": list(figure.ci95)}
        return {**found, "n_errors": n_errors, "values": values}

    def _checked_answer(self, row: dict[str, Any]) -> CheckedAnswer:
        rules, references = row.get("constraints", []), tuple(row.get("references", ()))
        number = marked_number(references[0]) or references[0] if self.config_name == "numeric_answer" else None
        return CheckedAnswer(
            row["predictions"],
            row.get("n_tokens", 0),
            row.get("stopped", False),
            row.get("prompts", ""),
            requested=requested_function(row.get("prompts", "")),
            references=references,
            number=number,
            constraints=constraints_of(rules if isinstance(rules, dict) else {"constraints": rules}, "`constraints`"),
        )


def _encodable(column: Any) -> Any:
    if isinstance(column, str):
        return column.encode("utf-8", "replace").decode("utf-8")
    return [_encodable(entry) for entry in column] if isinstance(column, list | tuple) else column
