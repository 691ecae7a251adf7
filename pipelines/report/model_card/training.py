"""The course and cost of the training, and what the run measured on held-out rows before and after."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.report.charts.charts import logged_values
from pipelines.report.comparison_record import figure_of
from pipelines.report.figures import Unit, bytes_text, duration_text, number_text, relative_text, value_text
from pipelines.report.tables import DASH, Table, table_of

MAX_STEPS = 8
NOT_MEASURED = "not measured"


def curve_table(log_history: Iterable[Mapping[str, Any]]) -> Table | None:
    """At most `MAX_STEPS` evaluations (or logged steps), the first and the last among them: the last training loss
    before, the loss on held-out rows, and P(end)."""
    history = list(log_history)
    train, held_out, ends = (logged_values(history, key) for key in ("loss", "eval_loss", "eval_p_end"))
    by_step, p_end = dict(held_out), dict(ends)
    steps = [step for step, _ in held_out or train]
    if len(steps) > MAX_STEPS:
        places = {round(number * (len(steps) - 1) / (MAX_STEPS - 1)) for number in range(MAX_STEPS)}
        steps = [steps[place] for place in sorted(places)]
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


def kept_table(best: Mapping[str, Any]) -> Table:
    """Each evaluation that a checkpoint could be kept from. Intervals are over the drawn held-out rows."""
    unit = Unit.RATIO if best["metric"].endswith("loss") or not best.get("held_out_rows") else Unit.SHARE
    rows = [
        (
            f"{one['step']:,}" + (", kept" if one["step"] == best["step"] else ""),
            value_text(one["value"], unit),
            figure_of(one["on_rows"], unit).with_interval if one.get("on_rows") else DASH,
            figure_of(one["minus_best"], unit).change_with_interval if one.get("minus_best") else DASH,
        )
        for one in best["evaluations"]
    ]
    return table_of("Kept", ("Step", best["metric"], "On the drawn rows", "Minus the kept one"), rows, 0)


def cost(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Time, device, tokens, throughput and memory; "not measured" where run.json has no figure."""
    machine, metrics = run.get("machine") or {}, run.get("metrics") or {}
    n_tokens, rate = run.get("n_tokens"), run.get("tokens_per_second")
    rows = [
        ("time of the whole run", _written(duration_text, run.get("seconds_wall"))),
        ("of that, training with its evaluations", _written(duration_text, metrics.get("train_runtime"))),
        ("device", _device(machine, run.get("n_processes"))),
        ("tokens trained on, without padding", None if n_tokens is None else f"{n_tokens:,}"),
        ("tokens per second", None if rate is None else number_text(rate, 0)),
        ("peak memory", _written(bytes_text, run.get("peak_memory_bytes"))),
    ]  # fmt: skip
    return [(name, value or NOT_MEASURED) for name, value in rows]


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


_SHARES = {
    "likelihood_accuracy": "the chosen answer is the more likely one",
    "likelihood_accuracy_normalised": "the same per token",
}


def held_out_table(metrics: Mapping[str, Any]) -> Table | None:
    """`held_out_pairs` and `held_out_bits_per_byte` of run.json's metrics, before and after; None without them."""
    rows = [*_pairs(metrics.get("held_out_pairs") or {}), *_parts(metrics.get("held_out_bits_per_byte") or {})]
    return table_of("Held out", ("Measure", "Before", "After", "Difference"), rows) if rows else None


def _pairs(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Preferences: shares of the same pairs, and TRL's reward accuracy, which is at chance before."""
    unit = Unit.SHARE
    for key, words in _SHARES.items():
        if found := record.get(key):
            values = (figure_of(found[when], unit).with_interval for when in ("before", "after"))
            change = figure_of(found["difference"], unit).change_with_interval
            yield f"{words} (n = {record['n_pairs']:,})", *values, change
    if found := record.get("reward_accuracy"):
        over = figure_of(found["difference_from_chance"], unit)
        change = f"{over.change} over chance {over.change_interval}"
        after = figure_of(found["after"], unit).with_interval
        label = f"reward accuracy (n = {record['n_pairs']:,})"
        yield label, f"chance {value_text(found['chance'], unit)}", after, change


def _parts(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A corpus: bits per byte of each part; a model from scratch has nothing before."""
    for part, found in record.items():
        label = f"bits per byte, {part} (n = {found['after']['n']:,})"
        before, after = (
            figure_of(found[when], Unit.BITS_PER_BYTE).with_interval if found.get(when) else DASH
            for when in ("before", "after")
        )
        yield label, before, after, relative_text(figure_of(found["relative"])) if found.get("relative") else DASH
