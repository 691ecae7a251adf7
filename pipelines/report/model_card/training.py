"""How the training went, and what it cost: out of trainer_state.json and run.json."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.report.charts.charts import logged_values
from pipelines.report.figures import Unit, bytes_text, duration_text, number_text, value_text
from pipelines.report.model_card.shown import evenly, filled, sparkline
from pipelines.report.tables import DASH, Table, table_of

MAX_STEPS = 8


def curve_line(log_history: Iterable[Mapping[str, Any]]) -> str:
    """The training loss as a line of blocks; empty with fewer than two logged steps."""
    return sparkline([value for _, value in logged_values(list(log_history), "loss")])


def curve_table(log_history: Iterable[Mapping[str, Any]]) -> Table | None:
    """At most `MAX_STEPS` of the evaluations (of the logged steps, where there was none), the first and the last among
    them: the training loss logged last before, the loss on held-out rows, and P(end)."""
    history = list(log_history)
    train, held_out, ends = (logged_values(history, key) for key in ("loss", "eval_loss", "eval_p_end"))
    by_step, p_end = dict(held_out), dict(ends)
    steps = evenly([step for step, _ in held_out or train], MAX_STEPS)
    if not steps:
        return None
    rows = [
        (
            f"{step:,.0f}",
            next((number_text(loss, 3) for at, loss in reversed(train) if at <= step), DASH),
            number_text(by_step[step], 3) if step in by_step else DASH,
            *([value_text(p_end[step], Unit.SHARE) if step in p_end else DASH] if ends else []),
        )
        for step in steps
    ]
    head = ("Step", "Training loss", "Loss on held-out rows", *(["P(end) where held-out answers end"] if ends else []))
    return table_of("Training", head, rows, 0)


def cost(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Time, device, tokens, throughput and memory; "not measured" where run.json has no figure."""
    machine, metrics = run.get("machine") or {}, run.get("metrics") or {}
    n_tokens, rate = run.get("n_tokens"), run.get("tokens_per_second")
    return filled([
        ("time of the whole run", _written(duration_text, run.get("seconds_wall"))),
        ("of that, training with its evaluations", _written(duration_text, metrics.get("train_runtime"))),
        ("device", _device(machine, run.get("n_processes"))),
        ("tokens trained on, without padding", None if n_tokens is None else f"{n_tokens:,}"),
        ("tokens per second", None if rate is None else number_text(rate, 0)),
        ("peak memory", _written(bytes_text, run.get("peak_memory_bytes"))),
    ])  # fmt: skip


def _written(text: Any, value: float | None) -> str | None:
    return None if value is None else str(text(value))


def _device(machine: Mapping[str, Any], n_processes: int | None) -> str | None:
    accelerators = machine.get("accelerators") or []
    names = dict.fromkeys(map(str, accelerators))
    found = ", ".join(f"{accelerators.count(name)} x {name}" for name in names)
    if not found and machine.get("processor"):
        found = f"no accelerator; {machine.get('n_cores', '?')} cores of {machine['processor']}"
    many = f", {n_processes:,} processes" if n_processes and n_processes > 1 else ""
    return f"{found}{many}" if found else None
