"""Whether the model learned to stop: the end token's probability where held-out answers end and inside them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from trl import DPOConfig

from pipelines.inference.teacher_forcing import end_probabilities, evaluation_mode
from pipelines.modeling import stop_token_ids
from pipelines.postflight.measurement import Measurement, not_measured, rounded
from pipelines.records.finding import Finding, Severity
from pipelines.training.callbacks.samples import SampleAnswersCallback

# Where an answer ends is partly a matter of taste: runs of the quickstart that learned it give the end token 0.79 to
# 0.89 there and 0.01 where answers go on, their base less than 0.001 at both.
MIN_AT_END = 0.1
MIN_TIMES_INSIDE = 2
STOPS = 0.5  # of the sample answers: a model that ends that many has learned to stop, whatever the probability
_WHAT = "end token"
_LOGGED = {"stop_rate": "eval_stop_rate", "p_end": "eval_p_end", "p_end_inside": "eval_p_end_inside"}


@dataclass(frozen=True)
class EndsBefore:
    """Mean probabilities of the end token over `n_rows` held-out rows, before the run."""

    p_end: float | None
    p_end_inside: float | None
    n_rows: int


def ends_before(trainer: Trainer) -> EndsBefore | None:
    """The probabilities that `SampleAnswersCallback` logs, before the first step; None where it has no rows."""
    shown = _shown(trainer)
    if shown is None:
        return None
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    stops = stop_token_ids(shown.tokenizer, model)
    rows = [row for row in shown.rows if row.end in stops]
    if not rows:
        return None
    with evaluation_mode(model), torch.no_grad(), trainer.accelerator.autocast():
        at_end, inside = end_probabilities(model, rows)
    return EndsBefore(_mean(at_end), _mean(inside), len(rows))


def learned_to_stop(trainer: Trainer, before: EndsBefore | None) -> Measurement:
    """The figures of the first and the last evaluation, and those from before the run if they were taken.

    There is no finding about rows of plain text: where a document ends, nobody can tell from its text.
    """
    log_history: Sequence[Mapping[str, Any]] = trainer.state.log_history
    logged = [log for log in log_history if _LOGGED["p_end"] in log or _LOGGED["stop_rate"] in log]
    if not logged:
        return not_measured(_WHAT, "no evaluation measured it (eval_strategy, held-out rows)")
    facts: dict[str, Any] = {"first": _figures(logged[0]), "last": _figures(logged[-1])}
    if before is not None:
        facts["before"] = {
            "p_end": _json(before.p_end), "p_end_inside": _json(before.p_end_inside), "n_rows": before.n_rows
        }  # fmt: skip
    found = _findings(facts["last"], trainer.args) if _answers_something(trainer) else ()
    return Measurement(facts, _line(facts), tuple(found))


def _shown(trainer: Trainer) -> SampleAnswersCallback | None:
    return next((one for one in trainer.callback_handler.callbacks if isinstance(one, SampleAnswersCallback)), None)


def _answers_something(trainer: Trainer) -> bool:
    """Whether held-out rows have a prompt that is not in the loss; a row's first token has no place in any case."""
    shown = _shown(trainer)
    return shown is not None and any(len(row.places) < len(row.token_ids) - 1 for row in shown.rows)


def _figures(log: Mapping[str, Any]) -> dict[str, Any]:
    return {"step": log.get("step"), **{name: _json(log.get(key)) for name, key in _LOGGED.items()}}


def _findings(last: Mapping[str, Any], training: TrainingArguments) -> Iterator[Finding]:
    at_end, inside = last["p_end"], last["p_end_inside"] or 0.0
    if at_end is None:
        return
    is_likely = at_end >= MIN_AT_END or (last["stop_rate"] or 0.0) >= STOPS
    if is_likely and at_end >= MIN_TIMES_INSIDE * inside:
        return
    yield Finding(
        "STOP_NOT_LEARNED",
        Severity.WARNING,
        summary=f"the end token has a mean probability of {at_end:.3g} where held-out answers end and {inside:.3g} "
        "inside them",
        why="a model that cannot tell the end of an answer from its middle continues to the token limit",
        remedy="start from a model that stops, such as one from `pipelines/sft.py`, or set a lower `learning_rate`"
        if isinstance(training, DPOConfig)
        else "train for longer (`num_train_epochs`, `max_steps`) or with a higher `learning_rate`; "
        "`python pipelines/doctor.py --config RECIPE` shows whether the end token is in the loss",
    )


def _line(facts: Mapping[str, Any]) -> str:
    last, before = facts["last"], facts.get("before")
    words = []
    if last["p_end"] is not None:
        earlier = f"{before['p_end']:.2g} -> " if before and before["p_end"] is not None else ""
        words.append(f"P(end) {earlier}{last['p_end']:.2g} where answers end")
    if last["p_end_inside"] is not None:
        words.append(f"{last['p_end_inside']:.2g} inside them")
    if last["stop_rate"] is not None:
        words.append(f"{last['stop_rate']:.0%} of samples stop")
    return f"{_WHAT}: {', '.join(words)}"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _json(value: float | None) -> float | None:
    return None if value is None else rounded(value)
