"""`doctor` and `after_run` of run.json, as the programs write them, clean and with findings."""

from typing import Any

from tests.report.samples.sample_run_records import record


def finding(name: str, severity: str, **changed: Any) -> dict[str, Any]:
    """A finding without evidence."""
    return {
        "id": name, "severity": severity, "summary": f"what {name} saw", "why": "it matters", "remedy": "set `x: 1`",
        "n_rows": None, "fix": {}, "evidence": [], **changed,
    }  # fmt: skip


def doctor(*findings: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """`doctor` of run.json."""
    severities = [one["severity"] for one in findings]
    counts = {"n_errors": severities.count("error"), "n_warnings": severities.count("warning")}
    return record("doctor") | counts | {"findings": list(findings)} | changed


def after_run(*findings: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """`after_run` of run.json."""
    return record("after_run") | {"n_warnings": len(findings), "findings": list(findings)} | changed
