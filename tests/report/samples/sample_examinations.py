"""`doctor` and `after_run` of run.json, as the programs write them, clean and with findings."""

from typing import Any

from tests.report.samples.sample_run_records import figure


def finding(name: str, severity: str, **changed: Any) -> dict[str, Any]:
    """A finding without evidence."""
    return {
        "id": name, "severity": severity, "summary": f"what {name} saw", "why": "it matters", "remedy": "set `x: 1`",
        "n_rows": None, "fix": {}, "evidence": [], **changed,
    }  # fmt: skip


def doctor(*findings: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """`doctor` of run.json."""
    severities = [one["severity"] for one in findings]
    return {
        "mode": "error", "kind": "diagnosis", "stage": "sft", "n_errors": severities.count("error"),
        "n_warnings": severities.count("warning"), "n_checks": 58,
        "rows": {"train": {"n_rows": 27840, "n_seen": 10000}, "held-out": {"n_rows": 148, "n_seen": 148}},
        "findings": list(findings), **changed,
    }  # fmt: skip


def after_run(*findings: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """`after_run` of run.json."""
    modules = {
        "model.layers.0.self_attn.q_proj": {"norm": 1.0946, "relative": 0.01258},
        "model.layers.0.mlp.up_proj": {"norm": 2.5046, "relative": 0.01784},
    }
    ends = dict(zip(("smallest", "largest"), modules, strict=True))
    return {
        "kind": "after_run", "n_errors": 0, "n_warnings": len(findings),
        "change": {
            "kind": "adapter", "is_new": True, "n_modules": 3, "n_unmoved": 0, "unmoved": [], "norm": 2.7333,
            "relative": 0.01645, **{end: {"module": name, **modules[name]} for end, name in ends.items()},
            "modules": modules, "others": {"model.embed_tokens (token rows)": {"norm": 0.0412, "relative": None}},
        },
        "learned_to_stop": {
            "before": {"p_end": 0.0004, "p_end_inside": 0.0003, "n_rows": 32},
            "first": {"step": 30, "stop_rate": 0.0, "p_end": 0.52, "p_end_inside": 0.03},
            "last": {"step": 174, "stop_rate": 1.0, "p_end": 0.871, "p_end_inside": 0.0042},
        },
        "forgetting": {
            "path": "data/wikitext.txt", "sha256": "ab" * 32, "n_bytes": 65120, "n_bytes_of_file": 1_290_000,
            "n_pieces": 63, "after": figure(1.0641, 0.03, 63), "before": figure(1.0523, 0.03, 63),
            "relative": figure(0.0112, 0.004, 63),
        },
        "loss": {
            "train": {"value": 1.2413, "n_logs": 9}, "first": {"step": 30, "value": 2.1}, "gap": 0.0708,
            "best": {"step": 150, "value": 1.309}, "last": {"step": 174, "value": 1.3121}, "course": "level",
            "averaged_alike": True,
        },
        "findings": list(findings), **changed,
    }  # fmt: skip
