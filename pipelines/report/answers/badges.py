"""The checks of one answer as badges: passed, failed, or a number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.files.visible_text import one_line
from pipelines.report.comparison_record import Better, Measure
from pipelines.report.figures import Unit, value_text

MAX_REASON_CHARACTERS = 200


@dataclass(frozen=True)
class Badge:
    """A fact about one answer; `passed` is None where it is neither good nor bad."""

    text: str
    passed: bool | None


# metric: (words where the check passes, words where it fails); the others are shown by their label
_WORDS = {
    "stopped_by_itself": ("stopped on its own", "did not stop on its own"),
    "parses": ("parses", "does not parse"),
    "runs": ("runs", "does not run"),
    "passes_tests": ("passes the tests", "fails the tests"),
    "defines_requested_name": ("defines the name", "does not define the name"),
    "takes_requested_parameters": ("takes the parameters", "does not take the parameters"),
}


def flag_badges(answer: Mapping[str, Any], measures: Sequence[Measure]) -> list[Badge]:
    """The yes/no checks in the record's order, and the length; a fault that an answer does not have is not told."""
    checks = {"stopped_by_itself": bool(answer["stopped"])} | dict(answer["checks"])
    known = {measure.name: measure for measure in measures}
    order = [*(name for name in known if name in checks), *(name for name in checks if name not in known)]
    badges = [_badge(name, checks[name], known.get(name)) for name in order if isinstance(checks[name], bool)]
    n_tokens = answer["n_tokens"]
    length = Badge(f"{n_tokens:,} token{'' if n_tokens == 1 else 's'}", None)
    return [*(badge for badge in badges if badge is not None), length]


def other_facts(answer: Mapping[str, Any], measures: Sequence[Measure]) -> list[str]:
    """The checks that are numbers, in the record's order, then why its code failed: "repetition 12.5%"."""
    facts = []
    for measure in measures:
        value = answer["checks"].get(measure.name)
        if measure.name == "n_tokens" or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        # what an answer is counted in is a whole number; only the means over answers are not
        text = f"{value:,.0f}" if measure.unit in (Unit.TOKENS, Unit.WORDS) else value_text(value, measure.unit)
        facts.append(f"{measure.label} {text}")
    why = answer["checks"].get("why_it_failed")
    return [*facts, f"why it failed: {one_line(str(why), MAX_REASON_CHARACTERS)}"] if why else facts


def _badge(name: str, value: bool, measure: Measure | None) -> Badge | None:
    if name in _WORDS:
        return Badge(_WORDS[name][0 if value else 1], value)
    label = measure.label if measure else name.replace("_", " ")
    better = measure.better if measure else Better.NEITHER
    if better is Better.LOWER:
        return Badge(label, False) if value else None
    return Badge(label if value else f"not: {label}", value if better is Better.HIGHER else None)
