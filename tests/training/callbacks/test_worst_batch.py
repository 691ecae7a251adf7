"""The worst batch first: it is the largest, it leaves no trace, and what is too large fails before step 1."""

import itertools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from pipelines import dpo, pretrain, sft
from pipelines.errors import is_out_of_memory
from pipelines.records.checkpoint import checkpoint_fault
from pipelines.reproduction.equal_runs import compare_runs
from pipelines.training.callbacks.worst_batch import WorstBatchFirst
from pipelines.training.micro_batches import cut_by_length
from pipelines.training.step.largest_batch import largest_groups
from tests.conftest import RunCli
from tests.run_files import read_json, record_of, write_jsonl

LENGTHS = [3, 11, 9, 30, 1, 17, 14, 5, 8, 12]  # of the answers
COMMON = (
    "--bf16 false --dtype float32 --report_to none --disable_tqdm true --eval_strategy steps --eval_steps 1 "
    "--n_samples 0 --max_steps 2 --save_strategy steps --save_steps 2 --logging_steps 1 "
    "--per_device_train_batch_size 4 --per_device_eval_batch_size 2 --learning_rate 1e-2 --weight_decay 0.1 "
    "--doctor off"
)
LORA = "--use_peft --lora_r 4 --lora_dropout 0.1 --activation_checkpointing false --test_split_size 2 --max_length 512"
FULL = LORA.replace("--use_peft --lora_r 4 --lora_dropout 0.1", "")
CORPUS = "--max_length 16 --activation_checkpointing false"
PROGRAMS: dict[str, Any] = {"sft": sft, "dpo": dpo, "pretrain": pretrain}
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def run(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rows")
    answers = ["so it is " * n for n in LENGTHS]
    sets: dict[str, list[dict[str, str]]] = {
        "sft": [{"instruction": f"Say {n}.", "output": text} for n, text in enumerate(answers)],
        "dpo": [{"prompt": f"Say {n}.", "chosen": text, "rejected": "no"} for n, text in enumerate(answers)],
        "pretrain": [{"text": text} for text in answers * 3],
    }
    dynamic = Path(shutil.copytree(tiny_model_folder, folder / "dynamic"))
    config = read_json(dynamic / "config.json")
    rotary = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    changed = {**config, "max_position_embeddings": 32, "rope_parameters": rotary}
    (dynamic / "config.json").write_text(json.dumps(changed))
    files = {name: write_jsonl(folder / f"{name}.jsonl", rows) for name, rows in sets.items()}

    def run(program: str, output: Path, more: str) -> Path:
        base = dynamic if "DYNAMIC" in more else tiny_model_folder
        named = f"--model_name_or_path {base} --dataset_name {files[program]} --output_dir {output}"
        PROGRAMS[program].main(f"{named} {COMMON} {more}".replace("DYNAMIC", "").split())
        return output

    return run


@pytest.mark.parametrize(
    ("program", "more"),
    [
        ("sft", f"{LORA} --gradient_accumulation_steps 2 --max_tokens_per_micro_batch 300"),
        ("sft", f"{LORA} --load_in_4bit --optim paged_adamw_8bit --neftune_noise_alpha 5"),
        ("sft", f"{FULL} --packing"),
        ("sft", f"{FULL} DYNAMIC"),  # rotary embeddings that change with the longest row so far
        ("dpo", FULL),
        ("dpo", f"{LORA} --gradient_accumulation_steps 2"),
        ("pretrain", f"{CORPUS} --muon_learning_rate 0.02"),
        ("pretrain", f"{CORPUS} --streaming true --n_validation_documents 2"),
    ],
)
def test_a_run_with_it_is_the_run_without_it_to_the_bit(program, more, run, tmp_path):
    pair = [run(program, tmp_path / on, f"{more} --worst_batch_first {on}") for on in ("true", "false")]
    assert record_of(pair[0])["worst_batch"]["peak_memory_bytes"] > 0
    assert "worst_batch" not in record_of(pair[1])
    compared = compare_runs(*pair)
    assert compared.differences == ()
    assert compared.n_equal >= 12


class _Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return itertools.repeat({"input_ids": [1] * 16})


def test_a_stream_with_few_held_out_blocks_tries_a_full_batch_and_an_evaluation_of_those(tmp_path):
    args = TrainingArguments(str(tmp_path), per_device_train_batch_size=8, max_steps=1, report_to="none")
    held_out: Any = [{"input_ids": [1] * 16} for _ in range(3)]
    trainer = Trainer(torch.nn.Linear(1, 1), args, train_dataset=_Stream(), eval_dataset=held_out)
    tried = WorstBatchFirst(trainer, None)._batches()
    assert [one.shape for batches in tried for one in batches] == [(8, 16), (3, 16)]


@pytest.mark.parametrize("seed", range(12))
def test_no_step_has_a_larger_micro_batch(seed):
    draw = random.Random(seed)
    lengths = sorted(draw.choice([5, 8, 30, 31, 60, 100]) + draw.randrange(9) for _ in range(9))
    n_rows, budget, overhead = draw.choice([2, 4, 6]), draw.choice([60, 130, 400]), draw.choice([1, 16, 64])

    def cuts(step):
        return cut_by_length(step, budget, overhead)

    def n_tokens(step, cut):
        return len(cut) * max(step[place] for place in cut)

    groups = [lengths[one] for one in largest_groups(np.asarray(lengths), n_rows, budget, cuts)]
    steps = [step for n in range(1, n_rows + 1) for step in itertools.combinations(lengths, n)]
    assert max(n_tokens(step, cut) for step in steps for cut in cuts(step)) == len(groups[0]) * groups[0][-1]
    assert groups[-1][-1] == lengths[-1]
    assert all(len(cuts(group)) == 1 for group in groups)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(28, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_of_allocators_are_told_from_others(error, expected):
    assert is_out_of_memory(error) is expected


LIMITED = """
import resource, sys
from pathlib import Path
from pipelines.command_line import run_program
from pipelines.sft import main

taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (768 << 20),) * 2)
run_program(main)
"""


@pytest.fixture
def run_out_of_memory(tiny_model_folder: Path, tmp_path: Path, run_cli: RunCli) -> Callable[[str], tuple[str, Path]]:
    """Train with a limit of address space on short rows and one that needs more; what was said, and the run folder."""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("no /proc to read the size of a process from")
    outputs = [f"{n}" for n in range(12)] + ["so it is " * 400]
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"instruction": "Say.", "output": text} for text in outputs])
    (tmp_path / "limited.py").write_text(LIMITED)

    def run(more: str) -> tuple[str, Path]:
        folder = tmp_path / "run"
        command = (
            f"--model_name_or_path {tiny_model_folder} --dataset_name {rows} --output_dir {folder} {COMMON} {LORA} "
            f"--eval_strategy no --max_length 8192 --attn_implementation eager --max_tokens_per_micro_batch 0 "
            f"--max_steps 4 --save_steps 1 --seed 2 {more}"
        ).replace("--test_split_size 2 ", "")
        done = run_cli(tmp_path / "limited.py", *command.split(), expect=2)
        return done.stderr.strip().splitlines()[-1], folder

    return run


def test_what_is_too_large_runs_out_of_memory_before_the_first_step(run_out_of_memory):
    said, folder = run_out_of_memory("")
    assert said.startswith("error: out of memory before the first step, in rows 12, 11, 10, 9 (4 x ")
    assert "the largest batch that this run can form; forecast " in said
    assert "set per_device_train_batch_size: 2 (now 4) and gradient_accumulation_steps: 2 (now 1)" in said
    record = record_of(folder)
    assert record["status"] == "failed"
    assert record["failure"].startswith("out of memory before the first step")
    assert {path.name for path in folder.iterdir()} == {"run.json", "lock.json"}


@pytest.mark.slow
def test_memory_that_runs_out_before_the_training_is_one_line_too(run_out_of_memory):
    said, folder = run_out_of_memory("--eval_strategy steps --test_split_size 12 --seed 3")
    assert said.startswith("error: out of memory (")
    assert said.endswith("; lower the batch size or max_length, or use a machine with more memory")
    assert record_of(folder)["status"] == "failed"


def test_memory_that_runs_out_later_is_told_with_the_rows_and_leaves_the_last_checkpoint_whole(run_out_of_memory):
    said, folder = run_out_of_memory("--worst_batch_first false")
    assert "out of memory in step 2: rows 12, " in said
    assert "free memory on this machine, or set activation_checkpointing: true; continue from checkpoint-1" in said
    assert record_of(folder)["status"] == "failed"
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-1"]
    assert checkpoint_fault(folder / "checkpoint-1") is None
