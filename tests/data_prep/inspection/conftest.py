"""A dataset folder with every kind of line that inspection reads, as the building programs write it."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_prep.dataset_folder import DatasetKind, RejectedRow, SplitSizes, write_dataset_folder

ENGLISH = "The ship sailed past the old lighthouse before the storm reached the harbor town"
GERMAN = "Das Schiff fuhr am alten Leuchtturm vorbei, bevor der Sturm die Stadt am Hafen erreichte"
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> \u202e "quoted" & \x1b[31m {{ 7 * 7 }}'


def instruction(number: int, **more: str) -> dict[str, str]:
    return {
        "instruction": f"Describe picture {number}.", "input": "", "output": f"{ENGLISH} on day {number}.",
        "source": "trips.jsonl", "source_row": str(number), "group": f"g{number}", **more,
    }  # fmt: skip


def build(
    folder: Path,
    rows: list[dict[str, Any]],
    kind: DatasetKind = DatasetKind.INSTRUCTIONS,
    sizes: SplitSizes | None = None,
    rejected: tuple[dict[str, Any], ...] = (),
    changed: tuple[dict[str, Any], ...] = (),
    **manifest: Any,
) -> Path:
    """A folder of `rows`; `rejected` and `changed` are the lines of its logs, `manifest` replaces fields."""
    reasons = [RejectedRow(line["source"], line["source_row"], line["reason"]) for line in rejected]
    written = write_dataset_folder(
        folder, rows, kind=kind, split_sizes=sizes or SplitSizes(0.2, 0.2), seed=0, rejected=reasons,
        sources=[{"name": "trips.jsonl", "sha256": "0" * 64, "n_rows": 100}],
        command="python data_prep/build_instructions.py --source /data/me/trips.jsonl", licenses=["mit"],
    )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({**written, **manifest}))
    for name, lines in (("rejected", rejected), ("changed", changed)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def rejects(reason: str, n_lines: int, **more: Any) -> tuple[dict[str, Any], ...]:
    """`n_lines` lines of rejected.jsonl."""
    return tuple(
        {"source": "trips.jsonl", "source_row": str(1000 + number), "reason": reason, **more}
        for number in range(n_lines)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 rows, three reasons, a near duplicate of row 7, two changes, one of them secret."""
    near = {"kept": {"source": "trips.jsonl", "source_row": "7"}, "similarity": 0.91, "step": "near_duplicates"}
    rejected = (
        *rejects("empty_output", 4, step="empty", row={"instruction": HOSTILE, "output": ""}),
        *rejects("near_duplicate", 1, row={"instruction": "Describe picture 7.", "output": f"{ENGLISH} on day 70."},
                 **near),
        *rejects("no_messages", 2, row={"messages": ["odd", {"content": [{"image": 1}]}]}),
    )  # fmt: skip
    changed = (
        {"source": "trips.jsonl", "source_row": "3", "step": "mojibake", "counts": {"texts": 1},
         "before": "the cafÃ© was open", "after": "the café was open"},
        {"source": "trips.jsonl", "source_row": "4", "step": "personal_data", "counts": {"email": 2}},
    )  # fmt: skip
    more = {"n_read": 67, "steps": ["mojibake", {"max_length": {"max_characters": 900}}]}
    return build(tmp_path / "trips", [instruction(n) for n in range(60)], rejected=rejected, changed=changed, **more)
