"""Findings on the run of a report: from the doctor before it, and from the checks of the model after it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.files.visible_text import first_upper
from pipelines.report.comparison_record import figure_of
from pipelines.report.doctor.findings import FindingView, findings_section, findings_sentence
from pipelines.report.figures import Unit, bytes_text, number_text, relative_text, significant_text, value_text

MAX_NAMES = 10  # of modules that did not change
_COURSES = {
    "rose": "the held-out loss rose again after that",
    "still falling": "the held-out loss was still falling",
    "level": "the held-out loss was level at the end",
    "earlier kept": "the checkpoint of an earlier step was kept",
    "seen once": "a single evaluation, which cannot show a trend",
}


@dataclass(frozen=True)
class Fact:
    """One thing that the run did to the model."""

    name: str
    value: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResults:
    """A sentence, figures if there are any, the findings to look at and those that are worth knowing at most."""

    sentence: str
    facts: tuple[Fact, ...]
    alarms: tuple[FindingView, ...]
    notes: tuple[FindingView, ...]
    is_off: bool = False

    @property
    def verdict(self) -> str:
        """ "clean", or "1 error and 2 warnings"."""
        return findings_sentence(self.alarms) if self.alarms else "clean"

    @property
    def severity(self) -> str:
        """The severest of the alarms; empty without one."""
        return next((name for name in ("error", "warning") for one in self.alarms if one.severity == name), "")


def check_results(run: Mapping[str, Any] | None) -> dict[str, CheckResults | None]:
    """`doctor` and `after_run` of run.json, each None where it has none. Raises KeyError, TypeError or ValueError where
    a record is broken."""
    run = run or {}
    doctor, after = run.get("doctor"), run.get("after_run")
    off = CheckResults("The doctor's checks were off for this run (doctor: off).", (), (), (), is_off=True)
    return {
        "doctor": _doctor(doctor) if doctor else off if "doctor" in run else None,
        "after_run": _after_run(after) if after else None,
    }


def _doctor(record: Mapping[str, Any]) -> CheckResults:
    findings = findings_section(record)
    looked = [_rows_words(split, **counts) for split, counts in record["rows"].items()]
    sentence = f"Before the run the doctor made {record['n_checks']:,} checks on {' and '.join(looked)}: "
    sentence += f"{findings_sentence(findings) if findings else 'clean, nothing found'}."
    if record["n_errors"] and record.get("mode") == "warn":
        sentence += " The run was started anyway (doctor: warn)."
    return _view(sentence, findings)


def _rows_words(split: str, n_rows: int, n_seen: int) -> str:
    return f"{n_seen:,}{f' of {n_rows:,}' if n_seen < n_rows else ''} rows of {split}"


def _after_run(record: Mapping[str, Any]) -> CheckResults:
    findings = findings_section(record)
    facts = (
        _change(record["change"]), _stopping(record["learned_to_stop"]), _forgetting(record["forgetting"]),
        _loss(record["loss"]),
    )  # fmt: skip
    found = first_upper(findings_sentence(findings))
    sentence = f"{found} after the run." if findings else "No problems were found after the run."
    return _view(sentence, findings, facts)


def _view(sentence: str, findings: Sequence[FindingView], facts: tuple[Fact, ...] = ()) -> CheckResults:
    alarms = tuple(one for one in findings if one.severity != "note")
    return CheckResults(sentence, facts, alarms, tuple(one for one in findings if one.severity == "note"))


def _change(facts: Mapping[str, Any]) -> Fact:
    if "reason" in facts:
        return _not_measured("Weights", facts)
    unmoved, n_unmoved = facts["unmoved"], facts["n_unmoved"]
    more = f" and {n_unmoved - MAX_NAMES:,} more" if n_unmoved > MAX_NAMES else ""
    named = [f"did not change: {', '.join(map(str, unmoved[:MAX_NAMES]))}{more}"] if unmoved else []
    if facts["kind"] == "full":
        n, away = facts["n_compared"], facts["relative"]
        share = [] if away is None else [f"{_share(away)} from the base"]
        of_all = [f"{n:,} of {facts['n_tensors']:,} were compared"] if n < facts["n_tensors"] else []
        return Fact("Weights", f"{n - n_unmoved:,} of {n:,} tensors changed", (*share, *of_all, *named))
    n = facts["n_modules"]
    return Fact("Adapter", f"{n - n_unmoved:,} of {n:,} modules changed", (*_norms(facts), *named))


def _norms(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("norm") is not None:
        what = "B·A" if facts["is_new"] else "the change of B·A"
        share = facts["relative"]
        of_base = "" if share is None else f", {_share(share)} of the base’s weights there"
        yield f"norm of {what} over all modules: {significant_text(facts['norm'])}{of_base}"
        yield "; ".join(f"{end} {_sized(facts[end])}, {facts[end]['module']}" for end in ("smallest", "largest"))
    for name, figures in (facts.get("others") or {}).items():
        yield f"norm of the change of {name}: {_sized(figures)}"


def _sized(figures: Mapping[str, Any]) -> str:
    """A norm, and its share of the base's weights where it is known."""
    norm, relative = figures["norm"], figures["relative"]
    if norm is None:
        return "no number"
    return significant_text(norm) + ("" if relative is None else f" ({_share(relative)})")


def _stopping(facts: Mapping[str, Any]) -> Fact:
    if "reason" in facts:
        return _not_measured("End token", facts)
    first, last, before = facts["first"], facts["last"], facts.get("before")
    begin, since = (before, "before the run") if before else (first, f"step {first['step']:,}")
    details = [f"from {since} to step {last['step']:,}"]
    if last["p_end_inside"] is not None:
        details.insert(0, f"{_from_to(begin, last, 'p_end_inside')} inside them")
    if last["stop_rate"] is not None:
        rates = _from_to(first, last, "stop_rate")
        details.append(f"sample answers that stop on their own, from step {first['step']:,} on: {rates}")
    if last["p_end"] is None:
        return Fact("End token", "no held-out answer ends with it", tuple(details))
    return Fact("End token", f"probability {_from_to(begin, last, 'p_end')} where held-out answers end", tuple(details))


def _from_to(first: Mapping[str, Any], last: Mapping[str, Any], key: str) -> str:
    then = first.get(key)
    now = value_text(last[key], Unit.SHARE)
    return now if then is None else f"{value_text(then, Unit.SHARE)} → {now}"


def _forgetting(facts: Mapping[str, Any]) -> Fact:
    if "reason" in facts:
        return _not_measured("General text", facts)
    then, now = (value_text(facts[when]["value"], Unit.BITS_PER_BYTE) for when in ("before", "after"))
    sample = f"{facts['n_pieces']:,} pieces, {bytes_text(facts['n_bytes'])} of {facts['path']}"
    change = relative_text(figure_of(facts["relative"]))
    return Fact("General text", f"{then} → {now} bits per byte", (f"{change}, paired by piece", sample))


def _loss(facts: Mapping[str, Any]) -> Fact:
    if "train" not in facts:
        return _not_measured("Loss", facts)
    train = number_text(facts["train"]["value"], 3)
    if "reason" in facts:
        return Fact("Loss", f"{train} on training rows at the end", (f"held-out rows: {facts['reason']}",))
    best, last, course = facts["best"], facts["last"], _COURSES[facts["course"]]
    details = [f"gap {number_text(facts['gap'], 3, signed=True)}", course]
    if best["step"] != last["step"]:
        details.insert(1, f"best held-out loss {number_text(best['value'], 3)} after step {best['step']:,}")
    if not facts["averaged_alike"]:
        details.append("packed in one of the two only: their means weight short rows differently")
    return Fact("Loss", f"{train} on training rows, {number_text(last['value'], 3)} on held-out rows", tuple(details))


def _share(value: float) -> str:
    return f"{number_text(100 * value, 2)}%" if value >= 5e-5 or not value else f"{significant_text(100 * value)}%"


def _not_measured(name: str, facts: Mapping[str, Any]) -> Fact:
    return Fact(name, "not measured", (str(facts["reason"]),))
