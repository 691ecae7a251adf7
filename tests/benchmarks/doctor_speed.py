r"""Seconds of the doctor, and of sft.py from its start to the loss of step 1, on many rows, beside another checkout.

    python -m tests.benchmarks.doctor_speed ROWS.jsonl TOKENIZER --against ../other-checkout --repeats 3

ROWS.jsonl has instruction rows (10,000 are taken), TOKENIZER is a folder with a chat template. The models are a Qwen2
of random weights with this tokenizer, and the quickstart's base, both with and without 500 held-out rows. Out: a table
with the median time on the clock and of the processor for each checkout (each needs its own .venv), measured in turn.
On a busy machine only the processor's time can be compared.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

_HERE = Path(__file__).resolve().parents[2]
_N_ROWS = 10_000
_RECIPE = """\
model_name_or_path: {base}
dtype: float32
use_peft: true
lora_target_modules: all-linear
dataset_name: {rows}
test_split_size: 0.05
eval_strategy: {when}
max_length: 1024
output_dir: run
learning_rate: 2.0e-4
per_device_train_batch_size: 1
logging_steps: 1
report_to: none
disable_tqdm: true
max_dropped_share: 1
"""


def recipes(folder: Path, rows: Path, tokenizer: Path) -> Iterator[tuple[str, Path]]:
    """Write the rows, a small base and one recipe for each base."""
    with rows.open(encoding="utf-8") as lines:
        (folder / "rows.jsonl").write_text("".join(islice(lines, _N_ROWS)), encoding="utf-8")
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    config = Qwen2Config(
        vocab_size=len(loaded), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True, eos_token_id=loaded.eos_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder / "qwen2")
    loaded.save_pretrained(folder / "qwen2")
    bases = {"qwen2": folder / "qwen2", "quickstart": _HERE / "recipes/quickstart/base"}
    for (name, base), (evaluated, when) in product(bases.items(), {"": "'no'", " with held-out rows": "epoch"}.items()):
        recipe = folder / f"{name}-{when.strip(chr(39))}.yaml"
        values = {"base": base, "rows": folder / "rows.jsonl", "when": when}
        recipe.write_text(_RECIPE.format(**values), encoding="utf-8")
        yield f"{name}{evaluated}", recipe


def measure(checkout: Path, program: str, recipe: Path) -> tuple[float, float]:
    """Seconds on the clock and of the processor to the end of doctor.py, or to the first loss of sft.py."""
    extra = ["--doctor", "warn", "--output_dir", tempfile.mkdtemp(dir=recipe.parent)] if program == "sft" else []
    command = [str(checkout / ".venv/bin/python"), f"pipelines/{program}.py", "--config", str(recipe), *extra]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if program == "sft" and "loss" in line and "step" in line:
            break
    else:
        if program == "sft":
            sys.exit("".join(said))
    seconds = time.perf_counter() - begun
    process.kill() if program == "sft" else None
    used = os.wait4(process.pid, 0)[2]
    return seconds, used.ru_utime + used.ru_stime


def main() -> None:
    """Measure the checkouts in turn, program by program."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("rows", type=Path)
    flags.add_argument("tokenizer", type=Path)
    flags.add_argument("--against", type=Path, help="another checkout")
    flags.add_argument("--repeats", type=int, default=3)
    options = flags.parse_args()
    checkouts = [_HERE, *([options.against.absolute()] if options.against else [])]
    print("| base | program |" + " | ".join(f"{one.name}: clock | processor" for one in checkouts) + " |")
    print("|---|---|" + "---:|---:|" * len(checkouts))
    with tempfile.TemporaryDirectory() as folder:
        for base, recipe in recipes(Path(folder), options.rows, options.tokenizer):
            for program in ("doctor", "sft"):
                runs = [[measure(one, program, recipe) for one in checkouts] for _ in range(options.repeats)]
                cells = [
                    statistics.median(values) for of in zip(*runs, strict=True) for values in zip(*of, strict=True)
                ]
                print(f"| {base} | {program} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
