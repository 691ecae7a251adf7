"""A run folder with all that a card is made from: its records, its adapter's config, a lock, and a dataset folder."""

import json
import re
from pathlib import Path
from typing import Any

from tests.report.samples.sample_answers import responses
from tests.report.samples.sample_examinations import after_run, doctor, finding
from tests.report.samples.sample_records import comparison, write_json, write_records
from tests.report.samples.sample_run_records import VERSIONS, run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADAPTER = {"peft_type": "LORA", "r": 32, "lora_alpha": 64, "use_dora": False, "use_rslora": False,
           "base_model_name_or_path": "recipes/quickstart/base"}  # fmt: skip


def lock(**changed: Any) -> dict[str, Any]:
    """lock.json of a finished run on the Hub's base and a dataset folder whose sources have licenses."""
    data = {"path": "data/functions", "revision": None, "fingerprint": "sha256:" + "ef" * 32, "n_rows": 2784,
            "licenses": [{"source": "click 8.5.1", "license": "BSD-3-Clause"}]}  # fmt: skip
    return {
        "kind": "lock", "version": 1, "program": "sft", "recipe": run()["recipe"],
        "base": {"name_or_path": "recipes/quickstart/base", "revision": None, "fingerprint": "ab" * 32,
                 "license": "apache-2.0"},
        "adapter": None,
        "datasets": [{"split": "train", **data}, {"split": "validation", **data, "n_rows": 148}],
        "tokenizer_sha256": "34" * 32, "template_sha256": "12" * 32, "versions": VERSIONS,
        "git": {"commit": COMMIT, "diff_sha256": "56" * 32, "diff": "--- a/secret_plan.py"},
        "seeds": {"seed": 42, "data_seed": 42}, "n_processes": 1, "parallelism": "none", "machine": run()["machine"],
        "result": {"weights_sha256": "sha256:" + "78" * 32, "loss_curve": [[2, 3.3]], "metrics": {"eval_loss": 1.3}},
        **changed,
    }  # fmt: skip


def manifest(n_train: int = 2784) -> dict[str, Any]:
    """manifest.json of the dataset folder."""
    return {
        "kind": "instructions", "n_rows": {"train": n_train, "validation": 140, "test": 148},
        "n_groups": {"train": 310, "validation": 15, "test": 18},
        "n_rejected": {"no_docstring": 9702, "duplicate": 83}, "content_sha256": {"train": "aa" * 32},
        "sources": [{"name": "functions", "path": "/home/somebody/functions", "sha256": "8a" * 32, "n_rows": 3072,
                     "distributions": [{"name": "click", "version": "8.5.1", "license": "BSD-3-Clause"}]}],
        "command": "python data_prep/build_instructions.py --source '/data/x/functions' --output=/tmp/x/functions",
    }  # fmt: skip


def write_card_records(folder: Path, n_prompts: int = 40) -> tuple[Path, Path]:
    """Everything below `folder`; returns the comparison folder and the run folder."""
    lines = responses(n_prompts)
    record = comparison(lines)
    record["models"]["instruct"]["path"] = str(folder / "sft")
    compared, trained = write_records(folder, lines, record)
    data = folder / "functions"
    data.mkdir()
    write_json(data / "manifest.json", manifest())
    change_run(
        trained,
        dataset={"path": str(data), "fingerprint": "ef" * 32, "n_rows": 2784},
        doctor=doctor(finding("TRAIN_EVAL_OVERLAP", "note", summary="2 of 169 rows overlap")),
        after_run=after_run(),
        n_parameters=5_795_072,
    )
    write_json(trained / "adapter_config.json", ADAPTER)
    write_json(trained / "lock.json", lock())
    return compared, trained


def change_run(folder: Path, **changed: Any) -> None:
    """Change keys of run.json in `folder`."""
    path = folder / "run.json"
    write_json(path, json.loads(path.read_text()) | changed)


def section(card: str, title: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level = title.split(" ")[0]
    _, found, rest = card.partition(f"\n{title}\n")
    assert found, title
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def unescaped(text: str) -> str:
    """Markdown as it is shown, as far as brackets go."""
    return re.sub(r"\\([\[\]])", r"\1", text)
