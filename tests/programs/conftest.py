"""The chain in small, run once for all program tests: rows, a base pretrained from scratch, an adapter on it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import PROJECT, RunCli

FUNCTIONS = ["add", "join", "find_max", "is_even", "strip_all", "first", "last", "square", "negate", "count"]


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, run_cli: RunCli) -> Path:
    """A folder of rows.jsonl, instructions/, corpus.txt, tokenizer/, base/, instruct/, each made by its program."""
    folder = tmp_path_factory.mktemp("chain")
    rows = [
        {"instruction": f"Write a Python function {name}_{n}(x)", "output": f"def {name}_{n}(x):\n    return x + {n}"}
        for name in FUNCTIONS
        for n in range(8)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "corpus.txt").write_text("\n\n".join(row["output"] for row in rows) * 4)
    for stage in ("pretrain", "sft"):
        shutil.copy(PROJECT / f"tests/programs/recipes/chain_{stage}.yaml", folder / f"{stage}.yaml")
    split = ("--validation_size", "0.1", "--test_size", "0.1")
    rows_to = ("--source", folder / "rows.jsonl", "--output", folder / "instructions")
    run_cli("data_prep/build_instructions.py", *rows_to, *split)
    corpus = ("--corpus", folder / "corpus.txt", "--output", folder / "tokenizer")
    run_cli("data_prep/train_tokenizer.py", *corpus, "--kind", "bpe", "--vocab_size", "320")
    run_cli("pipelines/pretrain.py", "--config", folder / "pretrain.yaml", "--dataset_name", folder / "corpus.txt",
            "--tokenizer_name_or_path", folder / "tokenizer", "--output_dir", folder / "base")  # fmt: skip
    run_cli("pipelines/sft.py", "--config", folder / "sft.yaml", "--model_name_or_path", folder / "base",
            "--dataset_name", folder / "instructions", "--output_dir", folder / "instruct")  # fmt: skip
    return folder
