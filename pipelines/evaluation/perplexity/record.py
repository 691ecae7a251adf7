"""Likelihoods -> perplexity.json and the console table: figures of each model, and paired differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.documents import Scope
from pipelines.evaluation.perplexity.figures import perplexity_figures
from pipelines.evaluation.perplexity.measurement import Measurement, Reading
from pipelines.evaluation.statistics.intervals import paired_difference_of_ratios, paired_relative_change_of_ratios
from pipelines.evaluation.statistics.row_groups import Groups, labels_of
from pipelines.inference.processes import processes
from pipelines.records import versions


def perplexity_record(
    measurements: Sequence[Measurement],
    reading: Reading,
    dataset: Mapping[str, Any],
    seed: int,
    *,
    by_source: bool = False,
) -> dict[str, Any]:
    """perplexity.json; `dataset` is the description of `DatasetRows`. Raises as `perplexity_results`. `by_source` adds
    the figures of each source of at least two documents."""
    parts = [part for one in measurements for part in _parts(one, by_source)]
    return {
        "kind": "perplexity",
        "dataset": {**dataset, "n_documents": max(len(one.documents) for one in measurements)},
        "window": reading.window,
        "stride": reading.stride,
        "dtype": reading.dtype,
        "chat_template": reading.template.to_json() if reading.template else None,
        "seed": seed,
        "n_processes": processes().num_processes,
        "computed_in": {one.model: one.dtype for one in measurements},
        "condition": {one.model: {"token": one.condition} for one in measurements},
        "versions": versions(),
        "results": perplexity_results(parts, seed),
        "differences": perplexity_differences(parts, seed),
    }


def perplexity_results(measurements: Sequence[Measurement], seed: int) -> list[dict[str, Any]]:
    """`results` of perplexity.json, one entry for each measurement.

    `is_headline` marks the figure of a model: in the response scope that of its better prompt style.

    Raises `UserError` if models of one scope were not measured on the same bytes, or scored no token of a document.
    """
    groups: dict[tuple[Scope, str | None], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.scope, one.source), []).append(one)
    for group in groups.values():
        _refuse_different_bytes(group)
    results = [_result(one, seed) for one in measurements]
    best: dict[tuple[Any, ...], dict[str, Any]] = {}  # the prompt style of the fewest bits
    for result in results:
        key = (result["model"], result["scope"], result["source"])
        best[key] = min(best.get(key, result), result, key=lambda found: found["bits_per_byte"])
    return [{**result, "is_headline": any(result is one for one in best.values())} for result in results]


def perplexity_differences(measurements: Sequence[Measurement], seed: int) -> list[dict[str, Any]]:
    """`differences` of perplexity.json: each further model minus the first, in each prompt style of the first.

    A positive difference means that the model needs more bits than the first one; documents are resampled in pairs, and
    by whole groups where rows have a `group`.
    """
    first = measurements[0].model
    return [
        _difference(one, other, seed)
        for one in measurements
        if one.model != first
        for other in measurements
        if other.model == first and (other.scope, other.source) == (one.scope, one.source)
    ]


def table(record: dict[str, Any]) -> str:
    """The console table: a line for each result, then each model against the first one at its better prompt."""
    results, differences = record["results"], record["differences"]
    head = ("model", "scope", "source", "prompt", "documents", "tokens", "bytes", "perplexity", "bits per byte")
    rows = [head, *(_table_row(result) for result in results)]
    shown = [column for column, name in enumerate(head) if name != "source" or any(one["source"] for one in results)]
    widths = {column: max(len(row[column]) for row in rows) for column in shown}
    lines = ["  ".join(row[column].ljust(width) for column, width in widths.items()).rstrip() for row in rows]
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in differences:
        key = (one["model"], one["scope"], one["source"], one["prompt_style"])
        best[key] = max(best.get(key, one), one, key=lambda found: found["bits_per_byte"]["value"])
    notes = [
        f"{result['model']}: {result[count]} {words}"
        for result in results
        for count, words in _WARNINGS.items()
        if result[count] and not result["source"]
    ]
    notes += [
        f"{result['n_documents']} documents of scope {result['scope']} are in {result['n_groups']} groups "
        f"({result['effective_groups']} effective), which are resampled whole"
        + (": too few to claim a difference" if result.get("too_few_groups") else "")
        for result in results
        if "effective_groups" in result and not result["source"]
    ]
    if any(result["scope"] == Scope.TEXT.value for result in results):
        for model, condition in record["condition"].items():
            how = f"conditioned on {condition['token']}"
            if condition["token"] is None:
                how = "not scored, because the tokenizer has no BOS or EOS"
            notes.append(f"{model}: the first token of a document was {how}")
    return "\n".join([*lines, *(_difference_line(one) for one in best.values()), *dict.fromkeys(notes)])


_WARNINGS = {
    "n_prompts_cut": "prompts were truncated at their left, because prompt and answer do not fit into the model",
    "n_unknown_tokens": "tokens are the unknown token: their text was not predicted, so its bits are too few",
}


def _parts(measurement: Measurement, by_source: bool) -> Iterator[Measurement]:
    """The measurement, and with `by_source` that of each source, in the order of their first documents."""
    yield measurement
    by_name: dict[str, list[int]] = {}
    for place, source in enumerate(measurement.sources if by_source else ()):
        by_name.setdefault(str(source), []).append(place)
    for source, places in by_name.items():
        if len(places) > 1:  # one has no interval
            documents = [measurement.documents[place] for place in places]
            groups = [measurement.groups[place] for place in places if measurement.groups]
            yield replace(measurement, documents=documents, groups=groups, sources=(), source=source)


def _refuse_different_bytes(measurements: Sequence[Measurement]) -> None:
    first = measurements[0]
    for one in measurements:
        empty = next((number for number, found in enumerate(one.documents, start=1) if found.n_tokens == 0), None)
        if empty is not None:
            problem = f"document {empty} has no scored token under {one.model}"
            raise UserError(problem, "give its tokenizer a bos_token or eos_token, or remove such documents")
        if [found.n_bytes for found in one.documents] != [found.n_bytes for found in first.documents]:
            raise UserError(
                f"scope {one.scope.value} has {_sum(first, 'n_bytes')} bytes for {first.model} and "
                f"{_sum(one, 'n_bytes')} for {one.model}, expected the same bytes",
                "give the tokenizer without a bos_token and eos_token one of them, or measure in two calls",
            )


def _result(measurement: Measurement, seed: int) -> dict[str, Any]:
    documents = measurement.documents
    found = perplexity_figures(
        nll_nats=[one.nll_nats for one in documents],
        n_tokens=[one.n_tokens for one in documents],
        n_bytes=[one.n_bytes for one in documents],
        groups=_labels(measurement),
        seed=seed,
    )
    return {
        "model": measurement.model,
        "path": measurement.path,
        "scope": measurement.scope.value,
        "source": measurement.source,
        "prompt_style": measurement.prompt_style.value if measurement.prompt_style else None,
        **found,
        "n_prompts_cut": sum(one.n_context_cut > 0 for one in documents),
        "n_unknown_tokens": _sum(measurement, "n_unknown"),
    }


def _difference(one: Measurement, first: Measurement, seed: int) -> dict[str, Any]:
    columns = [*_bits_and_bytes(one), *_bits_and_bytes(first)]
    return {
        "model": one.model,
        "against": first.model,
        "scope": one.scope.value,
        "source": one.source,
        "prompt_style": one.prompt_style.value if one.prompt_style else None,
        "against_prompt_style": first.prompt_style.value if first.prompt_style else None,
        "bits_per_byte": paired_difference_of_ratios(*columns, groups=_labels(one), seed=seed).to_json(),
        "relative": paired_relative_change_of_ratios(*columns, groups=_labels(one), seed=seed).to_json(),
    }


def _bits_and_bytes(measurement: Measurement) -> tuple[list[float], list[float]]:
    return [one.bits for one in measurement.documents], [float(one.n_bytes) for one in measurement.documents]


def _labels(measurement: Measurement) -> Groups | None:
    return labels_of(measurement.groups) if measurement.groups else None


def _sum(measurement: Measurement, field: str) -> int:
    return sum(getattr(one, field) for one in measurement.documents)


def _table_row(result: dict[str, Any]) -> tuple[str, ...]:
    perplexity, bits = result["ci95"]["perplexity"], result["ci95"]["bits_per_byte"]
    return (
        result["model"],
        result["scope"],
        result["source"] or "(all)",
        result["prompt_style"] or "-",
        *(f"{result[count]:,}" for count in ("n_documents", "n_tokens", "n_bytes")),
        f"{result['perplexity']:.3f} [{perplexity[0]:.3f}, {perplexity[1]:.3f}]",
        f"{result['bits_per_byte']:.4f} [{bits[0]:.4f}, {bits[1]:.4f}]",
    )


def _difference_line(one: dict[str, Any]) -> str:
    styles = [f" ({style})" if style else "" for style in (one["prompt_style"], one["against_prompt_style"])]
    bits, relative = one["bits_per_byte"], one["relative"]
    where = one["scope"] + (f" of {one['source']}" if one["source"] else "")
    return (
        f"{one['model']}{styles[0]} minus {one['against']}{styles[1]}, {where}: "
        f"{bits['value']:+.4f} bits per byte [{bits['ci95'][0]:+.4f}, {bits['ci95'][1]:+.4f}], "
        f"{relative['value']:+.1%} [{relative['ci95'][0]:+.1%}, {relative['ci95'][1]:+.1%}]"
    )
