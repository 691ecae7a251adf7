"""A run folder with all that a card is made from: its records, its adapter's config, a lock, and a dataset folder."""

import json
import re
from pathlib import Path
from typing import Any

from tests.report.samples.sample_answers import responses
from tests.report.samples.sample_check_results import after_run, doctor, finding
from tests.report.samples.sample_records import comparison, write_json, write_records
from tests.report.samples.sample_run_records import record

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADAPTER = {"peft_type": "LORA", "r": 32, "lora_alpha": 64, "use_dora": False, "use_rslora": False,
           "base_model_name_or_path": "recipes/quickstart/base"}  # fmt: skip


def lock(**changed: Any) -> dict[str, Any]:
    """lock.json of a finished run on the Hub's base and a dataset folder whose sources have licenses."""
    return record("lock") | changed


def manifest(n_train: int = 2784) -> dict[str, Any]:
    """manifest.json of the dataset folder."""
    whole = record("manifest")
    return whole | {"n_rows": whole["n_rows"] | {"train": n_train}}


def write_card_records(folder: Path, n_prompts: int = 40) -> tuple[Path, Path]:
    """Everything below `folder`; returns the comparison folder and the run folder."""
    lines = responses(n_prompts)
    compared_models = comparison(lines)
    compared_models["models"]["instruct"]["path"] = str(folder / "sft")
    compared, trained = write_records(folder, lines, compared_models)
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
