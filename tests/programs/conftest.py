"""The chain in small, run once for all program tests: rows, a base pretrained from scratch, an adapter on it."""

import json
from pathlib import Path

import pytest

from tests.conftest import RunCli

FUNCTIONS = ["add", "join", "find_max", "is_even", "strip_all", "first", "last", "square", "negate", "count"]

PRETRAIN_KEYS = """
model_type: llama
model_config: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
  num_key_value_heads: 2, max_position_embeddings: 128, tie_word_embeddings: true}
max_length: 64
max_steps: 20
per_device_train_batch_size: 4
learning_rate: 3.0e-3
muon_learning_rate: 0.02
logging_steps: 5
save_strategy: steps
save_steps: 10
bf16: false
report_to: none
disable_tqdm: true
"""

SFT_KEYS = """
dtype: float32
use_peft: true
lora_r: 8
lora_dropout: 0.0
max_length: 128
max_steps: 6
per_device_train_batch_size: 4
learning_rate: 1.0e-2
logging_steps: 2
eval_strategy: steps
eval_steps: 3
save_strategy: steps
save_steps: 3
bf16: false
activation_checkpointing: false
report_to: none
disable_tqdm: true
"""


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
    (folder / "pretrain.yaml").write_text(PRETRAIN_KEYS)
    (folder / "sft.yaml").write_text(SFT_KEYS)
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
