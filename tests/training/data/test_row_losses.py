"""row_losses.parquet: the loss of each row, by which one that does not belong is found."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

from pipelines import sft
from tests.training.test_fine_tuning import KEYS, LORA

N_ROWS = 40
ALIEN = 17


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows: list[dict[str, Any]] = [
        {"instruction": f"Say {n}.", "output": "so it is", "source": "a.txt", "source_row": n + 100}
        for n in range(N_ROWS)
    ]
    rows[ALIEN]["output"] = "ZQX!? 9#"
    rows[3]["output"] = ""  # dropped
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(base: Path, rows_file: Path, folder: Path, more: str) -> dict[str, Any]:
    named = f"--model_name_or_path {base} --dataset_name {rows_file} --output_dir {folder} --doctor off"
    sft.main(f"{named} {KEYS} {LORA} {more}".split())
    return dict(json.loads((folder / "run.json").read_text()))


@pytest.mark.parametrize("packing", ["", "--packing"])
def test_each_row_has_its_loss_under_the_saved_model_and_the_alien_is_first(
    tiny_model_folder: Path, rows_file: Path, tmp_path: Path, packing: str
) -> None:
    record = run(tiny_model_folder, rows_file, tmp_path / "run", f"--max_steps 40 {packing}")
    table = pq.read_table(tmp_path / "run" / "row_losses.parquet").to_pylist()
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
        assert entry["loss"] == pytest.approx(plain_loss(tmp_path / "run", rows_file, entry["row"]), abs=1e-4)


def plain_loss(folder: Path, rows_file: Path, number: int) -> float:
    """One forward pass of the saved model over one row, in plain transformers."""
    row = json.loads(rows_file.read_text().splitlines()[number])
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


def test_of_more_rows_than_a_tenth_of_the_run_takes_a_sample_is_measured_and_said(
    tiny_model_folder: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("pipelines.training.data.row_losses._MIN_EXAMPLES", 4)
    record = run(tiny_model_folder, rows_file, tmp_path / "run", "--max_steps 2")
    said = record["row_losses"]
    assert 4 <= said["n_rows"] < said["n_rows_trained"] == N_ROWS - 1
    assert f"over a sample of {said['n_rows']} of 39 rows" in capsys.readouterr().out


def test_none_are_measured_where_the_recipe_says_so(tiny_model_folder: Path, rows_file: Path, tmp_path: Path) -> None:
    record = run(tiny_model_folder, rows_file, tmp_path / "run", "--max_steps 1 --row_losses false")
    assert record["row_losses"] is None
    assert not (tmp_path / "run" / "row_losses.parquet").exists()
