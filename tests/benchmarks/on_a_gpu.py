"""All that needs a GPU, in one call: the tests of that mark, the embedded base, the recipes at their real shapes.

    python -m tests.benchmarks.on_a_gpu --minutes 9 --output build/on-a-gpu

In: nothing but this tree, and for the base the corpus and the tokenizer that `make base` puts into build/base (without
them the base is left out). Tests and base run side by side, since neither is timed; then the recipes, alone on the
device. Out: `base/` with the trained base, `tests.txt`, and what was measured, printed last.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RECIPE = PROJECT / "recipes" / "quickstart" / "pretrain" / "base.yaml"


def start(log: Path, *words: str | Path) -> "subprocess.Popen[bytes]":
    """A child process of this project whose output goes into `log`."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, *map(str, words)]
    with log.open("wb") as file:
        return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT)


def last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip() or "nothing was said").splitlines()[-1]


def base_lines(folder: Path, log: Path) -> list[str]:
    """What run.json says of the base, or how its run ended."""
    path = folder / "run.json"
    record = json.loads(path.read_text()) if path.is_file() else {}
    if record.get("status") != "finished":
        return [f"base: {last_line(log)}"]
    metrics = record["metrics"]
    figures = {key: value for key, value in metrics.items() if key.endswith(("bits_per_byte", "runtime", "per_second"))}
    return [f"base: {record['n_tokens']:,} tokens, {json.dumps(figures)}"]


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--minutes", type=float, default=60, help="begin no recipe after so many minutes")
    flags.add_argument("--output", type=Path, default=Path("build/on-a-gpu"))
    chosen = flags.parse_args()
    started, output = time.monotonic(), chosen.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    tests, base, recipes = (output / f"{name}.txt" for name in ("tests", "base", "recipes"))
    running = [start(tests, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--tb=short")]
    if (PROJECT / "build" / "base" / "corpus").is_dir():
        running.append(start(base, "pipelines/pretrain.py", "--config", RECIPE, "--output_dir", output / "base"))
    for process in running:
        process.wait()
    print(f"{time.monotonic() - started:.0f} s: {last_line(tests)}", flush=True)
    left = max(0.0, chosen.minutes - (time.monotonic() - started) / 60)
    start(recipes, "-m", "tests.benchmarks.recipes_on_a_device", "--minutes", str(left)).wait()
    lines = base_lines(output / "base", base) if base.is_file() else ["base: no corpus in build/base"]
    print("\n".join([f"tests: {last_line(tests)}", *lines, recipes.read_text(errors="replace")]))


if __name__ == "__main__":
    main()
