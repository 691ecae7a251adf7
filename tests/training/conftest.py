from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.modeling import load_tokenizer
from tests.run_files import record_of, write_jsonl
from tests.training.sft_runs import KEYS, ROWS, bare_base


@pytest.fixture
def tokenizer(tiny_model_folder: Path) -> Any:
    """The tokenizer of the tiny model, for one test to change."""
    return load_tokenizer(str(tiny_model_folder))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_base(tmp_path_factory.mktemp("base") / "tied", tied=True)


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", ROWS)


@pytest.fixture(scope="session")
def run_sft(base: Path, rows_file: Path) -> Callable[..., dict[str, Any]]:
    """Fine-tune in this process, `base` unless `more` names a model; run.json of the output folder."""
    from pipelines import sft

    def run(folder: Path, more: str, rows: Path = rows_file) -> dict[str, Any]:
        named = "" if "_name_or_path" in more else f"--model_name_or_path {base}"
        sft.main(f"{named} --dataset_name {rows} --output_dir {folder} {KEYS} {more}".split())
        return record_of(folder)

    return run
