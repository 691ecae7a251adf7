"""A doctor's record with every severity, role and fate, and one in which every text is hostile."""

from typing import Any

from tests.report.samples.hostile_records import HOSTILE, NAME
from tests.report.samples.sample_run_records import record


def finding(**changed: Any) -> dict[str, Any]:
    """One error with an excerpt, tokens and a certain fix."""
    return record("finding") | changed


def example(title: str | None = None, **changed: Any) -> dict[str, Any]:
    """A row's example with every role, and a gap."""
    return record("example") | {"title": title} | changed


def row(number: int, fate: str = "kept", reason: str | None = None, *examples: dict[str, Any]) -> dict[str, Any]:
    """One row of the token view."""
    counts = {key: sum(one[key] for one in examples) for key in ("n_tokens", "n_trained", "n_cut")}
    return {"row": number, "split": "train", "fate": fate, "reason": reason, **counts, "examples": list(examples)}


def diagnosis(**changed: Any) -> dict[str, Any]:
    """A record with two errors, a warning and a note, and four rows."""
    bare = {"evidence": [], "fix": {}}
    findings = [
        finding(),
        finding(id="TEMPLATE_DROPS_TEXT", **bare),
        finding(id="ANSWERS_CUT", severity="warning", **bare),
        finding(id="NO_GENERATION_MARKS", severity="note", **bare),
    ]
    whole = [["all", 9, False, "cut"], {"n_tokens": 2300, "n_trained": 0, "role": "cut"}]
    rows = [
        row(0, "kept", None, example()),
        row(1, "kept", None, example("chosen"), example("rejected")),
        row(2, "dropped", "longer_than_max_length", example(n_tokens=0, n_trained=0, n_cut=2301, tokens=whole)),
        row(3, "dropped", "empty_output"),
    ]
    return {
        "kind": "diagnosis",
        "schema_version": 1,
        "stage": "sft",
        "n_errors": 2,
        "n_warnings": 1,
        "rows": {"train": {"n_rows": 52_002, "n_seen": 10_000}, "held-out": {"n_rows": 500, "n_seen": 500}},
        "n_checks": 41,
        "recipe": "recipes/quickstart/sft/lora.yaml",
        "findings": findings,
        "shown_rows": rows,
        **changed,
    }


def clean_diagnosis() -> dict[str, Any]:
    """A record without findings."""
    return diagnosis(n_errors=0, n_warnings=0, findings=[], shown_rows=[row(0, "kept", None, example())])


def hostile_diagnosis() -> dict[str, Any]:
    """One finding and one row for each hostile text, which is also its id, evidence, fix and tokens."""
    findings, rows = [], []
    for number, text in enumerate(HOSTILE):
        evidence = {"text": text, "row": number, "split": NAME, "tokens": [[text, number, True], [NAME, 1, False]]}
        texts = {"id": text[:60], "summary": text[:300], "why": text[:300], "remedy": f"`{text[:300]}` {text[:300]}"}
        findings.append(finding(**texts, fix={text[:60]: text, NAME: None}, evidence=[evidence]))
        tokens: list[Any] = [[text, number, False, "prompt"], [text, 7, True, "answer"], [NAME, 8, True, "end"]]
        rows.append(row(number, "dropped", text[:200], example(text[:100], tokens=tokens)))
    return diagnosis(recipe=NAME, findings=findings, shown_rows=rows)
