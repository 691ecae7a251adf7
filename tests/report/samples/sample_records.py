"""comparison.json of sample answers, and every record of a comparison and of a run on disk."""

import json
import math
from pathlib import Path
from typing import Any

from tests.report.samples.sample_answers import responses
from tests.report.samples.sample_run_records import (
    VERSIONS,
    benchmark,
    figure,
    ledger,
    perplexity,
    record,
    run,
    trainer_state,
    training_samples,
)

# name: label, unit, better, group, meaning
DEFINITIONS = {
    "stopped_by_itself": (
        "stops on its own",
        "share",
        "higher",
        "stopping and length",
        "share that ended by themselves",
    ),
    "n_tokens": ("answer length", "tokens", "neither", "stopping and length", "mean length, end token excluded"),
    "repetition": ("repetition", "share", "lower", "text of the answer", "share of runs of four words seen before"),
    "echoes_prompt": ("echoes the prompt", "share", "lower", "text of the answer", "share that repeat the prompt"),
    "parses": ("parses", "share", "higher", "Python", "share of answers that parse as Python as a whole"),
    "defines_requested_name": ("defines the requested name", "share", "higher", "Python", "share with the function"),
    "takes_requested_parameters": ("takes the requested parameters", "share", "higher", "Python", "share with them"),
}
FLAGS = ("stopped_by_itself", "echoes_prompt", "parses", "defines_requested_name", "takes_requested_parameters")
BITS = {
    "label": "response bits per byte", "unit": "bits_per_byte", "better": "lower", "decoding": None,
    "group": "likelihood of the reference", "meaning": "bits that the model needs for a byte of the reference answer",
}  # fmt: skip
SENTENCE = "better on 11 of 13 measures, worse on 1 (repetition), no difference shown on 1, n = 148"


def comparison(lines: list[dict[str, Any]], others: tuple[str, ...] = ("instruct",)) -> dict[str, Any]:
    """comparison.json of `lines`; the shares are theirs, the intervals a normal approximation."""
    counted = [line for line in lines if line["counted"]]
    definitions = _definitions()
    differences = {name: _differences(counted, name) for name in others}
    return {
        "kind": "comparison",
        "created": "2026-01-05T10:20:30+00:00",
        "versions": VERSIONS,
        "machine": {"system": "Linux", "processor": "Some CPU @ 2.20GHz", "n_cores": 2, "accelerators": []},
        "prompts": {"path": "data/functions", "split": "test", "sha256": "9f" * 32, "n": len(counted)},
        "decoding": {
            "max_new_tokens": 256, "seed": 0, "greedy": {"temperature": 0.0, "num_samples": 1},
            "sampled": {"temperature": 0.7, "top_p": 0.95, "num_samples": 2},
        },
        "models": {
            "base": {"role": "base", "path": "recipes/quickstart/base", "fingerprint": "ab" * 32,
                     "prompt_style": "plain", "metrics": _figures(counted, "base")},
            **{name: {"role": "instruct", "path": f"runs/quickstart/{name}", "fingerprint": "cd" * 32,
                      "prompt_style": "chat", "metrics": _figures(counted, name)} for name in others},
        },
        "metric_definitions": definitions,
        "differences": differences,
        "sentences": dict.fromkeys(others, SENTENCE),
        "summary": {name: summary(differences[name]) for name in others},
        "warnings": [{"id": "too_few_groups", "text": "the prompts are of 18 groups: intervals are rough"}],
        "few_shot": {"why_not": "rows.jsonl is no dataset folder with a training split"},
        "flips": {name: {metric: _flips(counted, name, metric) for metric in FLAGS} for name in others},
        "categories": _categories(counted, others),
        "details": details(others),
        "judge": judge(others),
        "run_code": {"limits": {"seconds": 5, "memory_bytes": 2**28}, "confinement": ["no network", "empty folder"]},
        "base_prompt_styles": {"plain": figure(1.2134, 0.031), "chat": figure(1.4021, 0.04)},
        "seconds": {"base": 74.2, "instruct": 61.9},
    }  # fmt: skip


def summary(differences: dict[str, Any]) -> dict[str, Any]:
    """The three lines on one model."""
    record: dict[str, Any] = {}
    for aspect, metric in (("form", "stopped_by_itself"), ("correctness", "defines_requested_name")):
        found = differences[metric]
        low, high = (f"{100 * end:+.1f}" for end in found["ci95"])
        change = (
            f"2.7% (base) -> 99.0%: {100 * found['value']:+.1f} points [{low}, {high}], p <= 0.0024, n = {found['n']}"
        )
        record[aspect] = {
            "text": f"{DEFINITIONS[metric][0]} {change}, {found['verdict']}", "metric": metric, "value": 0.99,
            "difference": found["value"], "ci95": found["ci95"], "n": found["n"], "p": found["p_holm"],
            "p_at_floor": found["p_at_floor"], "verdict": found["verdict"], "worse": [],
        }  # fmt: skip
    return record | {"lost": {"text": "not measured: give --general or --capability", "metric": None, "worse": []}}


def details(others: tuple[str, ...] = ("instruct",)) -> dict[str, Any]:
    """`details` with every key, of at most two models beside the base."""
    whole = record("details")
    names = dict(zip(("base", "instruct", "other"), ("base", *others), strict=False))
    for key in ("likelihood_by_position", "reliability"):
        whole[key] = {mine: whole[key][sample] for sample, mine in names.items()}
    whole["longest_overlaps"][0]["model"] = others[0]
    return whole


def judge(others: tuple[str, ...] = ("instruct",)) -> dict[str, Any]:
    """`judge` with one pair that has no verdict."""
    found = {"n_wins": 80, "n_ties": 40, "n_losses": 27, "win_share": figure(0.68, 0.06, 147),
             "agreement_with_itself": figure(0.71, 0.07, 147)}  # fmt: skip
    return {"model": "some-judge", "url_host": "judge.example", "n": 148, "n_errors": 1,
            "models": dict.fromkeys(others, found)}  # fmt: skip


def _definitions() -> dict[str, dict[str, Any]]:
    definitions: dict[str, dict[str, Any]] = {}
    for suffix, decoding in (("", "greedy"), ("_sampled", "sampled")):
        for name, words in DEFINITIONS.items():
            keys = ("label", "unit", "better", "group", "meaning")
            definitions[name + suffix] = dict(zip(keys, words, strict=True)) | {"decoding": decoding}
        if not suffix:
            definitions["response_bits_per_byte"] = BITS
    return definitions


def _values(lines: list[dict[str, Any]], model: str, metric: str) -> list[float]:
    decoding = "sampled" if metric.endswith("_sampled") else "greedy"
    return [_check(line, model, decoding, metric.removesuffix("_sampled")) for line in lines]


def _figures(lines: list[dict[str, Any]], model: str) -> dict[str, Any]:
    bits = figure(1.2134, 0.031, len(lines)) if model == "base" else figure(0.9816, 0.028, len(lines))
    names = [name for name in _definitions() if name != "response_bits_per_byte"]
    return {name: _mean(_values(lines, model, name)) for name in names} | {"response_bits_per_byte": bits}


def _differences(lines: list[dict[str, Any]], model: str) -> dict[str, Any]:
    differences = {}
    for name, words in _definitions().items():
        if name == "response_bits_per_byte":
            relative = {"value": -0.191, "ci95": [-0.21, -0.172], "n": len(lines)}
            differences[name] = _judged(figure(-0.2318, 0.024, len(lines)), "lower") | {"relative": relative}
            continue
        pairs = zip(_values(lines, model, name), _values(lines, "base", name), strict=True)
        changes = [after - before for after, before in pairs]
        counts = [sum(one > 0 for one in changes), sum(one == 0 for one in changes), sum(one < 0 for one in changes)]
        if words["better"] == "lower":
            counts.reverse()
        differences[name] = _judged(_mean(changes), words["better"])
        if words["better"] != "neither":
            differences[name] |= dict(zip(("n_wins", "n_ties", "n_losses"), counts, strict=True))
    return differences


def _judged(difference: dict[str, Any], better: str) -> dict[str, Any]:
    low, high = difference["ci95"]
    if low <= 0 <= high:
        return difference | {"p_value": 0.21, "p_at_floor": False, "p_holm": 0.42, "verdict": "no difference shown"}
    is_better = (low > 0) == (better == "higher")
    word = "changed" if better == "neither" else "better" if is_better else "worse"
    return difference | {"p_value": 0.0002, "p_at_floor": True, "p_holm": 0.0024, "verdict": word}


def _flips(lines: list[dict[str, Any]], model: str, metric: str) -> dict[str, list[int]]:
    pairs = zip(lines, _values(lines, model, metric), _values(lines, "base", metric), strict=True)
    changes = [(line["id"], after - before) for line, after, before in pairs]
    return {"gained": [one for one, change in changes if change > 0], "lost": [one for one, c in changes if c < 0]}


def _categories(lines: list[dict[str, Any]], others: tuple[str, ...]) -> dict[str, Any]:
    own: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        own.setdefault(line["category"], []).append(line)
    return {
        category: {
            "n": len(some),
            "models": {name: _figures(some, name) for name in ("base", *others)},
            "differences": {name: _differences(some, name) for name in others},
        }
        for category, some in own.items()
        if len(some) > 1
    }


def write_records(
    folder: Path, lines: list[dict[str, Any]] | None = None, record: dict[str, Any] | None = None
) -> tuple[Path, Path]:
    """Write every record below `folder`, of `lines` unless `record` is given; returns the two folders."""
    compared, trained = folder / "compare", folder / "sft"
    compared.mkdir(parents=True)
    trained.mkdir()
    lines = responses() if lines is None else lines
    write_json(compared / "comparison.json", record or comparison(lines))
    write_lines(compared / "responses.jsonl", lines)
    write_json(compared / "perplexity.json", perplexity())
    write_json(compared / "benchmark.json", benchmark())
    write_json(trained / "run.json", run())
    write_json(trained / "trainer_state.json", trainer_state())
    write_json(trained / "ledger.json", ledger())
    write_lines(trained / "samples.jsonl", training_samples())
    return compared, trained


def write_json(path: Path, value: Any) -> None:
    """Plain JSON: the records' own writer is not what is tested here."""
    path.write_text(json.dumps(value))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON lines, ASCII-escaped, so that half a surrogate pair can be in them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _check(line: dict[str, Any], model: str, decoding: str, name: str) -> float:
    answers = line["answers"][model]
    some = [answers["greedy"]] if decoding == "greedy" else answers["samples"]
    return sum(float(one["checks"][name] or 0) for one in some) / len(some)


def _mean(values: list[float]) -> dict[str, Any]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
    half_width = max(1.96 * deviation / math.sqrt(len(values)), 0.002)
    return figure(mean, half_width, len(values))
