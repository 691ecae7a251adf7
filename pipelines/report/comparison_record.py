"""comparison.json -> typed values: the models, the metrics with their paired differences, and the flips."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipelines.report.figures import Figure, Unit, p_value_text

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
        """The label, which tells a sampled metric from the greedy one of the same label."""
        is_told = self.decoding != "sampled" or "sampled" in self.label
        return self.label if is_told else f"{self.label} (sampled)"


@dataclass(frozen=True)
class Difference:
    """Instruct minus base over the same items; what the record leaves out is None.

    `p_value` is Holm's where the record has it; `is_at_floor` says that the permutations could have given no
    smaller one; `tally` counts the items that instruct wins, ties and loses;
    `why` says why there is no better or worse where the interval alone would suggest one.
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


@dataclass(frozen=True)
class Warning:
    """Why the figures of a comparison may mislead."""

    id: str
    text: str


@dataclass(frozen=True)
class SummaryLine:
    """What a comparison says of one aspect of a model; `metric` is the measure that it rests on, None without one."""

    aspect: str
    text: str
    metric: str | None


@dataclass(frozen=True)
class Model:
    """One compared model. `differences` (from the base, by metric), `against` (those from each further baseline),
    `summary`, `sentence` and `flips` are empty for the base and for a further baseline, such as the base with examples
    before each prompt.

    `flips` is metric -> (ids of the prompts where it was gained, ids where it was lost).
    """

    name: str
    role: str
    path: str
    fingerprint: str
    prompt_style: str
    figures: Mapping[str, Figure]
    differences: Mapping[str, Difference]
    against: Mapping[str, Mapping[str, Difference]]
    summary: tuple[SummaryLine, ...]
    sentence: str
    flips: Mapping[str, tuple[frozenset[Any], frozenset[Any]]]


@dataclass(frozen=True)
class Comparison:
    """comparison.json: the base, further baselines, the models compared with the base, and the metrics in the record's
    order."""

    base: Model
    baselines: tuple[Model, ...]
    others: tuple[Model, ...]
    warnings: tuple[Warning, ...]
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


def figure_of(record: Mapping[str, Any]) -> Figure:
    """A `Figure` from {"value", "ci95": [low, high], "n", "n_groups"}. Raises KeyError, TypeError or ValueError."""
    low, high = record["ci95"]
    if not all(math.isfinite(number) for number in (record["value"], low, high)):
        raise ValueError(f"a figure that is not finite: {record}")
    return Figure(record["value"], low, high, record.get("n"), record.get("n_groups"))


def comparison_of(record: Any) -> Comparison:
    """The typed form of comparison.json. Raises KeyError, TypeError or ValueError where it is not one."""
    if record.get("kind") != "comparison":
        raise ValueError(f"kind {record.get('kind')!r} instead of 'comparison'")
    for key in ("created", "versions", "machine", "prompts", "decoding"):
        record[key]
    models = {name: _model(name, model, record) for name, model in record["models"].items()}
    by_role: dict[str, list[Model]] = {}
    for model in models.values():
        by_role.setdefault(model.role if model.role in ("base", "instruct") else "baseline", []).append(model)
    bases = by_role.get("base", [])
    if len(bases) != 1 or not by_role.get("instruct"):
        raise ValueError(
            f"{len(bases)} models of role 'base' among {len(models)}, instead of one and an instruct model"
        )
    styles = record.get("base_prompt_styles") or {}
    return Comparison(
        base=bases[0],
        baselines=tuple(by_role.get("baseline", ())),
        others=tuple(by_role["instruct"]),
        warnings=tuple(Warning(str(one["id"]), str(one["text"])) for one in record.get("warnings") or ()),
        measures=tuple(_measure(name, words) for name, words in record["metric_definitions"].items()),
        base_prompt_styles={style: figure_of(figure) for style, figure in styles.items()},
        record=record,
    )


def _model(name: str, model: Mapping[str, Any], record: Mapping[str, Any]) -> Model:
    flips = (record.get("flips") or {}).get(name) or {}
    return Model(
        name=name,
        role=str(model["role"]),
        path=model["path"],
        fingerprint=model["fingerprint"],
        prompt_style=model["prompt_style"],
        # a metric that applied to no prompt has no value: it is left out of the page
        figures={metric: figure_of(figure) for metric, figure in model["metrics"].items() if _has_value(figure)},
        differences=_differences(record, name),
        against={base: _differences(found, name) for base, found in (record.get("against") or {}).items()},
        summary=_summary((record.get("summary") or {}).get(name) or {}),
        sentence=str((record.get("sentences") or {}).get(name) or ""),
        flips={metric: (frozenset(ids["gained"]), frozenset(ids["lost"])) for metric, ids in flips.items()},
    )


def _summary(record: Mapping[str, Any]) -> tuple[SummaryLine, ...]:
    return tuple(
        SummaryLine(title, str(record[aspect]["text"]), record[aspect].get("metric"))
        for aspect, title in ASPECTS.items()
        if record.get(aspect)
    )


def _differences(record: Mapping[str, Any], name: str) -> dict[str, Difference]:
    found = record["differences"].get(name) or {}
    return {metric: _difference(one) for metric, one in found.items() if _has_value(one)}


def _has_value(figure: Mapping[str, Any]) -> bool:
    return figure["value"] is not None


def _difference(record: Mapping[str, Any]) -> Difference:
    p_value = record.get("p_holm", record.get("p_value"))
    counts = [record.get(key) for key in ("n_wins", "n_ties", "n_losses")]
    return Difference(
        figure=figure_of(record),
        relative=figure_of(record["relative"]) if record.get("relative") else None,
        p_value=None if p_value is None else float(p_value),
        verdict=Verdict(record["verdict"]) if record.get("verdict") else None,
        tally=None if None in counts else (int(counts[0]), int(counts[1]), int(counts[2])),  # type: ignore[arg-type]
        is_at_floor=bool(record.get("p_at_floor")),
        why=str(record.get("why") or ""),
    )


def _measure(name: str, words: Mapping[str, Any]) -> Measure:
    return Measure(
        name=name,
        label=words["label"],
        unit=Unit(words["unit"]),
        better=Better(words["better"]),
        decoding=words["decoding"],
        meaning=words["meaning"],
        group=words.get("group") or "measures",
    )
