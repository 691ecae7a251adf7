"""row_losses.parquet: the loss of each row, by which one that does not belong is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

from tests.run_files import read_jsonl, write_jsonl
from tests.training.sft_runs import LORA

Run = Callable[[str], dict[str, Any]]
N_ROWS = 40
ALIEN = 17


@pytest.fixture(scope="module")
def alien_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = {ALIEN: "ZQX!? 9#", 3: ""}  # row 3 is dropped
    rows = [
        {"instruction": f"Say {n}.", "output": outputs.get(n, "so it is"), "source": "a.txt", "source_row": n + 100}
        for n in range(N_ROWS)
    ]
    return write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", rows)


@pytest.fixture
def run(run_sft: Any, alien_rows: Path, tiny_model_folder: Path, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    base = f"--model_name_or_path {tiny_model_folder}"
    return lambda more: run_sft(tmp_path, f"{base} --doctor off {LORA} {more}", alien_rows)


@pytest.mark.parametrize("packing", ["", "--packing"])
def test_each_row_has_its_loss(run, alien_rows, tmp_path, packing):
    record = run(f"--max_steps 40 {packing}")
    table = pq.read_table(tmp_path / "row_losses.parquet").to_pylist()
    assert sorted(entry["row"] for entry in table) == [n for n in range(N_ROWS) if n != 3]
    assert table[0]["row"] == ALIEN
    assert all(entry["source_row"] == str(entry["row"] + 100) for entry in table)
    assert [entry["loss"] for entry in table] == sorted((entry["loss"] for entry in table), reverse=True)
    said = record["row_losses"]
    assert (said["n_rows"], said["n_rows_trained"]) == (N_ROWS - 1, N_ROWS - 1)
    assert said["highest"][0] == table[0]
    total = sum(entry["n_tokens"] for entry in table)
    assert said["mean"] == pytest.approx(sum(entry["loss"] * entry["n_tokens"] for entry in table) / total)
    for entry in table[:2]:
        assert entry["loss"] == pytest.approx(plain_loss(tmp_path, alien_rows, entry["row"]), abs=1e-4)


def plain_loss(folder: Path, rows_file: Path, number: int) -> float:
    """One forward pass of the saved model over one row, in plain transformers."""
    row = read_jsonl(rows_file)[number]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": row["instruction"]}], add_generation_prompt=True, tokenize=False
    )
    answer = tokenizer(row["output"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
    ids = [*tokenizer(prompt, add_special_tokens=False)["input_ids"], *answer]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float()
    losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")
    return float(losses[-len(answer) :].mean())


def test_a_sample_is_measured_if_all_rows_take_too_long(run, monkeypatch, capsys):
    monkeypatch.setattr("pipelines.training.data.row_losses._MIN_EXAMPLES", 4)
    said = run("--max_steps 2")["row_losses"]
    assert 4 <= said["n_rows"] < said["n_rows_trained"] == N_ROWS - 1
    assert f"over a sample of {said['n_rows']} of 39 rows" in capsys.readouterr().out


def test_none_are_measured_without_row_losses(run, tmp_path):
    assert run("--max_steps 1 --row_losses false")["row_losses"] is None
    assert not (tmp_path / "row_losses.parquet").exists()
