"""The losses of two processes against those of one with the same global batch: DDP, FSDP2 and two machines.

    python -m tests.benchmarks.devices.where_it_runs [--kinds "SFT, LoRA" "DPO, LoRA"] [--steps 20]

Prints a table: for each kind of run the largest relative difference of a step's loss from that of one process. The
base is a random Llama of two layers, whose tokens are bytes; the rows are drawn from words with a seed: answers of 1 to
30 words, so that the processes of a step train different numbers of tokens. The two machines are two launches that meet
at the loopback address, each with one process. FSDP2 has the keys of accelerate_configs/fsdp2.yaml.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from tests.processes.places import Place, run
from tests.run_files import logged, write_jsonl
from tests.training.sft_runs import bare_base

_N_ROWS, _GLOBAL_BATCH = 1500, 16  # packed too, 20 steps are less than an epoch
_WORDS = ("red", "blue", "green", "one", "two", "three", "cat", "dog", "house", "tree", "sun", "moon", "never")
_TEMPLATE = "{% for one in messages %}{{ one.role }}: {{ one.content }}{{ eos_token }}{% endfor %}"
_ALL = (
    "--bf16 false --dtype float32 --activation_checkpointing false --report_to none --disable_tqdm true "
    "--save_strategy no --eval_strategy no --logging_steps 1 --n_samples 0 --doctor off"
)
_SFT = "sft --max_length 256 --learning_rate 1e-3 --row_losses false"
_LORA = "--use_peft --lora_dropout 0"
_DPO = "dpo --max_length 256 --learning_rate 1e-4"
KINDS = {
    "SFT, all weights": _SFT,
    "SFT, LoRA": f"{_SFT} {_LORA}",
    "SFT, LoRA, micro-batches of at most 256 tokens": f"{_SFT} {_LORA} --max_tokens_per_micro_batch 256",
    "SFT, LoRA, batches as TRL pads them": f"{_SFT} {_LORA} --max_tokens_per_micro_batch 0",
    "SFT, LoRA, grouped by length": f"{_SFT} {_LORA} --train_sampling_strategy group_by_length",
    "SFT, LoRA, packed": f"{_SFT} {_LORA} --packing true",
    "SFT, LoRA on 4 bits": f"{_SFT} {_LORA} --load_in_4bit --bnb_4bit_quant_storage bfloat16",
    "DPO, LoRA": f"{_DPO} {_LORA}",
    "DPO, all weights": f"{_DPO}",
    "pretraining, continued": "pretrain --max_length 128 --learning_rate 1e-3",
    "pretraining, streamed": "pretrain --max_length 128 --learning_rate 1e-3 --streaming true",
}


@dataclass(frozen=True)
class Inputs:
    """A folder for the runs, the base, and rows for each program."""

    folder: Path
    base: Path
    rows: dict[str, Path]


def write_rows(folder: Path) -> dict[str, Path]:
    """Rows for each program."""
    draw = random.Random(0)

    def words(most: int) -> str:
        return " ".join(draw.choices(_WORDS, k=draw.randint(1, most)))

    rows = [{"instruction": words(8), "output": words(30), "other": words(30)} for _ in range(_N_ROWS)]
    pairs = [{"prompt": one["instruction"], "chosen": one["output"], "rejected": one["other"]} for one in rows]
    (folder / "corpus.txt").write_text("\n\n".join(words(200) for _ in range(_N_ROWS)))
    return {
        "sft": write_jsonl(folder / "rows.jsonl", [{k: one[k] for k in ("instruction", "output")} for one in rows]),
        "dpo": write_jsonl(folder / "pairs.jsonl", pairs),
        "pretrain": folder / "corpus.txt",
    }


def chat_base(folder: Path) -> Path:
    """A random Llama whose tokenizer has a template: FSDP cannot shard the rows of tokens that are new to a base."""
    bare_base(folder, tied=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def losses(place: Place, kinds: list[str], inputs: Inputs, n_steps: int) -> list[list[float]]:
    """The loss of each step of each kind; all kinds in the same processes, one after the other."""
    n_processes, calls, outputs = 1 if place is Place.ONE else 2, [], []
    for kind in kinds:
        program, *keys = KINDS[kind].split()
        outputs.append(inputs.folder / f"{kind}, {place}".replace(" ", "-"))
        named = {
            "model_name_or_path": inputs.base, "dataset_name": inputs.rows[program], "output_dir": outputs[-1],
            "per_device_train_batch_size": _GLOBAL_BATCH // n_processes, "max_steps": n_steps,
        }  # fmt: skip
        given = [word for key, value in named.items() for word in (f"--{key}", str(value))]
        calls.append([program, *given, *_ALL.split(), *keys])
    path = inputs.folder / f"{place}.json"
    path.write_text(json.dumps(calls))
    run(place, ["tests/processes/several_runs.py", path])
    return [logged(output, "loss") for output in outputs]


def table(kinds: list[str], n_steps: int) -> Iterator[str]:
    """The lines of the table."""
    others = [place for place in Place if place is not Place.ONE]
    with tempfile.TemporaryDirectory() as name:
        inputs = Inputs(Path(name), chat_base(Path(name) / "base"), write_rows(Path(name)))
        alone, *together = (losses(place, kinds, inputs, n_steps) for place in Place)
    yield f"| largest difference of a step's loss, {n_steps} steps | {' | '.join(others)} |"
    yield "|---" * (len(others) + 1) + "|"
    for place, kind in enumerate(kinds):
        found = [difference(alone[place], other[place]) for other in together]
        yield f"| {kind} | {' | '.join(f'{one:.1e}' for one in found)} |"


def difference(alone: list[float], together: list[float]) -> float:
    """The largest relative difference of two equally long lists."""
    return max(abs(two - one) / abs(one) for one, two in zip(alone, together, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    for line in table(given.kinds, given.steps):
        print(line, flush=True)
