"""What checkpoints cost: the same training with one every 50 steps and with none, in processes that take turns.

    python -m tests.benchmarks.resuming.checkpoint_cost --model llama-27m --rounds 3

All weights are trained, so that a checkpoint holds twelve bytes for each. A process is stopped whenever it prints a
step and the other one takes its next step; a checkpoint is written, flushed to the disk and sealed within the step that
follows it. Memory is measured at the end of `--only_seal`: sealing and verifying files of 64 MiB and of 1 GiB in a
process each. Prints Markdown tables.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import sft_throughput as sft

EVERY = 50  # steps
N_CHECKPOINTS = 2
N_WARM_UP = 2  # steps
MIB = 1 << 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", choices=sft.MODELS, default="llama-27m")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--avx2", action="store_true", help="restrict the processor to AVX2")
    options.add_argument("--only_seal", type=int, help="MiB of a file to seal and verify")
    chosen = options.parse_args()
    if chosen.only_seal:
        print(json.dumps(sealed(chosen.only_seal)))
        return
    environment = sft.environment_of(chosen.threads, avx2=chosen.avx2)
    print("| checkpoints | seconds | CPU seconds | peak MiB |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sft.save_model(chosen.model, folder / "model")
        sft.write_rows(sft.rows_of("quickstart"), folder / "rows.jsonl")
        for number in range(chosen.rounds):
            pair = [program(folder, every, environment, folder / f"{number}-{every}") for every in (EVERY, 10**6)]
            print(*lines_of(sft.run_in_turns(pair)), sep="\n", flush=True)
    print("\n| file, MiB | seal, seconds | verify, seconds | memory added, MiB |\n|---|---:|---:|---:|")
    for size in (64, 1024):
        command = [sys.executable, "-m", "tests.benchmarks.resuming.checkpoint_cost", "--only_seal", str(size)]
        found = json.loads(subprocess.run(command, cwd=sft.PROJECT, check=True, capture_output=True).stdout)
        print(f"| {size:,} | {found['seal']:.2f} | {found['verify']:.2f} | {found['mib']:.1f} |")


def program(folder: Path, every: int, environment: dict[str, str], output: Path) -> sft.Program:
    keys = {
        **sft.KEYS, **sft.OURS, "use_peft": False, "save_only_model": False, "max_length": 512,
        "model_name_or_path": folder / "model", "dataset_name": folder / "rows.jsonl",
        "max_steps": EVERY * N_CHECKPOINTS + 1, "save_strategy": "steps", "save_steps": every, "save_total_limit": 1,
    }  # fmt: skip
    return sft.Program([sys.executable, "pipelines/sft.py", *sft.flags(keys)], sft.PROJECT, environment, output)


def lines_of(pair: list[sft.Measured]) -> list[str]:
    """A line for each way; the losses of both must be equal."""
    with_them, without = pair
    if with_them.losses != without.losses:
        raise SystemExit("the losses of the two runs differ")
    lines = []
    for way, measured in zip((f"every {EVERY} steps", "none"), pair, strict=True):
        words = [way]
        for seconds in ("wall_seconds", "cpu_seconds"):
            own, others = (sum(getattr(one, seconds)[N_WARM_UP:]) for one in (measured, without))
            words.append(f"{own:.1f}" + (f" ({own / others - 1:+.2%})" if measured is with_them else ""))
        lines.append(f"| {' | '.join([*words, f'{measured.peak_mib:,.0f}'])} |")
    extra = [with_them.wall_seconds[step] - statistics.median(with_them.wall_seconds) for step in (EVERY, 2 * EVERY)]
    return [*lines, f"| a checkpoint beyond a median step | {', '.join(f'{one:.2f}' for one in extra)} | | |"]


def sealed(n_mib: int) -> dict[str, float]:
    """Seal and verify a checkpoint of one file."""
    from pipelines.records.checkpoint import checkpoint_fault, seal_checkpoint

    with tempfile.TemporaryDirectory() as name:
        with (Path(name) / "model.safetensors").open("wb") as file:
            for _ in range(n_mib):
                file.write(b"\x5a" * MIB)
        before = peak_mib()
        begun = time.perf_counter()
        seal_checkpoint(Path(name), {})
        seal = time.perf_counter() - begun
        fault = checkpoint_fault(Path(name))
        if fault is not None:
            raise SystemExit(fault)
        return {"seal": seal, "verify": time.perf_counter() - begun - seal, "mib": peak_mib() - before}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
