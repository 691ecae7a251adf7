"""comparison.json -> typed values: the models, the metrics with their paired differences, and the flips."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.report.figures import Figure, Unit, p_value_text, relative_text

ASPECTS = {"form": "Form", "correctness": "Correctness", "lost": "What was lost"}


class Better(StrEnum):
    """Which way a metric improves."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Verdict(StrEnum):
    """What a paired difference shows, as the record says it; the value is the word on the page."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    CHANGED = "changed"  # clear of zero, and the metric has no good direction
    TOO_FEW_GROUPS = "too few groups"  # of rows that depend on each other, to claim anything


@dataclass(frozen=True)
class Measure:
    """The definition of a metric. `decoding` is "greedy", "sampled" or None; `group` is the title of its table."""

    name: str
    label: str
    unit: Unit
    better: Better
    decoding: str | None
    meaning: str
    group: str

    @property
    def full_label(self) -> str:
        """The label, with "(sampled)" where a greedy metric has the same label."""
        is_told = self.decoding != "sampled" or "sampled" in self.label
        return self.label if is_told else f"{self.label} (sampled)"


@dataclass(frozen=True)
class Difference:
    """Instruct minus base over the same items; None for what the record leaves out.

    `p_value` is Holm's where the record has it; with `is_at_floor` the permutations allow no smaller one. `tally`
    counts the items that instruct wins, ties and loses. `why` explains a missing verdict where the interval alone
    suggests one.
    """

    figure: Figure
    relative: Figure | None
    p_value: float | None
    verdict: Verdict | None
    tally: tuple[int, int, int] | None
    is_at_floor: bool = False
    why: str = ""

    @property
    def p_text(self) -> str:
        """The p-value as printed, empty where the record has none."""
        return "" if self.p_value is None else p_value_text(self.p_value, at_floor=self.is_at_floor)

    @property
    def relative_text(self) -> str:
        """The relative change as printed, empty where the record has none."""
        return relative_text(self.relative) if self.relative else ""


@dataclass(frozen=True)
class Model:
    """One compared model. `differences` from the base and `against` further baselines are by metric; `summary` has
    (aspect, text, metric behind it); `flips` is metric -> (ids of prompts where it was gained, where it was lost). The
    base and further baselines, such as the few-shot base, have none of these. `step` is that of a checkpoint."""

    name: str
    role: str
    path: str
    fingerprint: str
    prompt_style: str
    figures: Mapping[str, Figure]
    differences: Mapping[str, Difference]
    against: Mapping[str, Mapping[str, Difference]]
    summary: tuple[tuple[str, str, str | None], ...]
    sentence: str
    flips: Mapping[str, tuple[frozenset[Any], frozenset[Any]]]
    step: int | None = None


@dataclass(frozen=True)
class Comparison:
    """comparison.json: the base, further baselines, the models compared with the base, and the metrics in the record's
    order."""

    base: Model
    baselines: tuple[Model, ...]
    others: tuple[Model, ...]
    warnings: tuple[str, ...]
    measures: tuple[Measure, ...]
    base_prompt_styles: Mapping[str, Figure]
    record: Mapping[str, Any]

    @property
    def models(self) -> tuple[Model, ...]:
        """The base first, then the further baselines."""
        return (self.base, *self.baselines, *self.others)

    @property
    def n_baselines(self) -> int:
        """How many of `models` are no instruct models."""
        return 1 + len(self.baselines)

    @property
    def compared(self) -> tuple[Measure, ...]:
        """The measures that the base and at least one other model have, with a difference."""
        return tuple(
            measure
            for measure in self.measures
            if measure.name in self.base.figures and any(measure.name in model.differences for model in self.others)
        )

    @property
    def prompts_name(self) -> str:
        """ "held-out prompts" where the record names a held-out split, else "prompts"."""
        return "held-out prompts" if self.record["prompts"].get("split") in ("test", "validation") else "prompts"


def figure_of(record: Mapping[str, Any], unit: Unit = Unit.RATIO) -> Figure:
    """A `Figure` from {"value", "ci95": [low, high], "n", "n_groups"}. Raises KeyError, TypeError or ValueError."""
    low, high = record["ci95"]
    if not all(math.isfinite(number) for number in (record["value"], low, high)):
        raise ValueError(f"a figure that is not finite: {record}")
    return Figure(record["value"], low, high, record.get("n"), record.get("n_groups"), unit)


def comparison_of(record: Any) -> Comparison:
    """The typed form of comparison.json. Raises KeyError, TypeError or ValueError where it is broken."""
    if record.get("kind") != "comparison":
        raise ValueError(f"kind {record.get('kind')!r} instead of 'comparison'")
    for key in ("created", "versions", "machine", "prompts", "decoding"):
        record[key]
    measures = {name: _measure(name, words) for name, words in record["metric_definitions"].items()}
    by_role: dict[str, list[Model]] = {"base": [], "instruct": [], "baseline": []}
    for name, one in record["models"].items():
        model = _model(name, one, record, measures)
        by_role[model.role if model.role in by_role else "baseline"].append(model)
    if len(by_role["base"]) != 1 or not by_role["instruct"]:
        n_bases, n = len(by_role["base"]), len(record["models"])
        raise ValueError(f"{n_bases} models of role 'base' among {n}, instead of one and an instruct model")
    styles = record.get("base_prompt_styles") or {}
    return Comparison(
        base=by_role["base"][0],
        baselines=tuple(by_role["baseline"]),
        others=tuple(by_role["instruct"]),
        warnings=tuple(str(one["text"]) for one in record.get("warnings") or ()),
        measures=tuple(measures.values()),
        base_prompt_styles={style: figure_of(figure, Unit.BITS_PER_BYTE) for style, figure in styles.items()},
        record=record,
    )


def _model(name: str, model: Mapping[str, Any], record: Mapping[str, Any], measures: Mapping[str, Measure]) -> Model:
    def differences(by_model: Mapping[str, Any]) -> dict[str, Difference]:
        found = by_model.get(name) or {}
        return {key: _difference(one, _unit(measures, key)) for key, one in found.items() if one["value"] is not None}

    flips = (record.get("flips") or {}).get(name) or {}
    summary = (record.get("summary") or {}).get(name) or {}
    figures = {key: one for key, one in model["metrics"].items() if one["value"] is not None}  # it applied to no prompt
    return Model(
        name=name,
        role=str(model["role"]),
        path=model["path"],
        fingerprint=model["fingerprint"],
        prompt_style=model["prompt_style"],
        figures={key: figure_of(one, _unit(measures, key)) for key, one in figures.items()},
        differences=differences(record["differences"]),
        against={base: differences(found["differences"]) for base, found in (record.get("against") or {}).items()},
        summary=tuple((title, str(summary[key]["text"]), summary[key].get("metric"))
                      for key, title in ASPECTS.items() if summary.get(key)),
        sentence=str((record.get("sentences") or {}).get(name) or ""),
        flips={metric: (frozenset(ids["gained"]), frozenset(ids["lost"])) for metric, ids in flips.items()},
        step=model.get("step"),
    )  # fmt: skip


def _unit(measures: Mapping[str, Measure], metric: str) -> Unit:
    return measures[metric].unit if metric in measures else Unit.RATIO


def _difference(record: Mapping[str, Any], unit: Unit) -> Difference:
    p_value = record.get("p_holm", record.get("p_value"))
    counts = [record.get(key) for key in ("n_wins", "n_ties", "n_losses")]
    return Difference(
        figure=figure_of(record, unit),
        relative=figure_of(record["relative"]) if record.get("relative") else None,
        p_value=None if p_value is None else float(p_value),
        verdict=Verdict(record["verdict"]) if record.get("verdict") else None,
        tally=None if None in counts else (int(counts[0]), int(counts[1]), int(counts[2])),  # type: ignore[arg-type]
        is_at_floor=bool(record.get("p_at_floor")),
        why=str(record.get("why") or ""),
    )


def _measure(name: str, words: Mapping[str, Any]) -> Measure:
    unit, better, group = Unit(words["unit"]), Better(words["better"]), words.get("group") or "measures"
    return Measure(name, words["label"], unit, better, words["decoding"], words["meaning"], group)
