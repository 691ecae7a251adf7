"""perplexity.json as two tables: each model on each scope, and the paired differences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.report.figures import (
    Figure,
    Unit,
    difference_interval_text,
    difference_text,
    interval_text,
    perplexity_text,
    relative_text,
    value_text,
)
from pipelines.report.reading import Better, figure_of
from pipelines.report.verdicts import Verdict, verdict_of


@dataclass(frozen=True)
class Likelihood:
    """One model on one scope with one prompt style, as printed."""

    scope: str
    model: str
    prompt_style: str
    perplexity: str
    bits_per_byte: str
    n_documents: str
    n_tokens: str
    n_bytes: str


@dataclass(frozen=True)
class LikelihoodDifference:
    """One model against another on the same bytes, as printed."""

    scope: str
    model: str
    against: str
    difference: str
    relative: str
    verdict: Verdict


_SCOPES = {"text": "whole text", "response": "answers only"}


def likelihoods(record: Mapping[str, Any]) -> list[Likelihood]:
    """The rows of the table of models. Raises KeyError, TypeError or ValueError where the record is broken."""
    return [
        Likelihood(
            scope=_SCOPES.get(row["scope"], row["scope"]),
            model=row["model"],
            prompt_style=_style(row["prompt_style"]),
            perplexity=perplexity_text(_figure(row, "perplexity")),
            bits_per_byte=_bits(_figure(row, "bits_per_byte")),
            n_documents=f"{row['n_documents']:,}",
            n_tokens=f"{row['n_tokens']:,}",
            n_bytes=f"{row['n_bytes']:,}",
        )
        for row in record["results"]
    ]


def likelihood_differences(record: Mapping[str, Any]) -> list[LikelihoodDifference]:
    """The rows of the table of differences: fewer bits per byte are better."""
    return [_difference(row) for row in record.get("differences") or ()]


def _difference(row: Mapping[str, Any]) -> LikelihoodDifference:
    figure = figure_of(row["bits_per_byte"])
    styles = row.get("prompt_style"), row.get("against_prompt_style")
    unit = Unit.BITS_PER_BYTE
    return LikelihoodDifference(
        scope=_SCOPES.get(row["scope"], row["scope"]),
        model=row["model"] + (f" ({styles[0]} prompt)" if styles[0] else ""),
        against=row["against"] + (f" ({styles[1]} prompt)" if styles[1] else ""),
        difference=f"{difference_text(figure, unit)} {difference_interval_text(figure, unit)}",
        relative=relative_text(figure_of(row["relative"])) if row.get("relative") else "–",
        verdict=verdict_of(figure, Better.LOWER),
    )


def _figure(row: Mapping[str, Any], name: str) -> Figure:
    return figure_of({"value": row[name], "ci95": row["ci95"][name], "n": row["n_documents"]})


def _bits(figure: Figure) -> str:
    return f"{value_text(figure.value, Unit.BITS_PER_BYTE)} {interval_text(figure, Unit.BITS_PER_BYTE)}"


def _style(style: str | None) -> str:
    return "–" if style is None else f"{style}"
