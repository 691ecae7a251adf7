"""Two processes choose as one does, and what they save is the best checkpoint."""

from pathlib import Path

import pytest

from tests.processes.places import Place, run
from tests.run_files import record_of, same_weights, write_jsonl
from tests.training.sft_runs import KEYS

_RUN = (
    f"{KEYS.replace('--eval_strategy no ', '').replace('--save_strategy no ', '')} --max_steps 4 --eval_steps 2 "
    "--test_split_size 8 --doctor off --row_losses false"
)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(
        tmp_path / "rows.jsonl", [{"instruction": f"Say {n}.", "output": f"{n} it is"} for n in range(24)]
    )


@pytest.mark.slow
def test_two_processes_share_the_answers_and_choose_as_one(base, rows, tmp_path):
    records = []
    for place, batch in ((Place.ONE, 4), (Place.DDP, 2)):
        keys = f"{_RUN} --keep_best chrf --keep_best_max_new_tokens 8 --use_peft --learning_rate 1e-2 --lora_dropout 0"
        folder = tmp_path / place.name
        keys += f" --per_device_train_batch_size {batch} --model_name_or_path {base} --dataset_name {rows}"
        run(place, ["pipelines/sft.py", *keys.split(), "--output_dir", folder])
        records.append(record_of(folder)["best_checkpoint"])
    assert [one["step"] for one in records[0]["evaluations"]] == [2, 4]
    assert records[0] == records[1]


@pytest.mark.slow
def test_a_sharded_model_keeps_an_earlier_checkpoint(base, rows, tmp_path):
    """At this rate the loss rises."""
    keys = f"{_RUN} --keep_best loss --learning_rate 0.5 --lr_scheduler_type constant --max_grad_norm 0"
    keys += f" --model_name_or_path {base} --dataset_name {rows}"
    run(Place.FSDP2, ["pipelines/sft.py", *keys.split(), "--output_dir", tmp_path / "run"])
    record = record_of(tmp_path / "run")["best_checkpoint"]
    assert record["step"] == 2
    assert same_weights(tmp_path / "run", tmp_path / "run" / "checkpoint-2", "model.safetensors")
