"""How the cost of sft.py grows with the number of rows and with their length: a table, and a picture of it.

    python -m tests.benchmarks.growth.sft --picture tests/benchmarks/growth/sft.svg

Trains a random Llama of the quickstart's shape for a few steps, each run a process of its own.
For the numbers of rows, they are Dolly's, drawn with a seed and numbered; for the lengths, slices of the standard
library's source. The speed is that of the steady state (see ../sft_throughput.py). The start is the CPU time until the
first step ends: imports, reading and tokenizing all rows, with the doctor off. A token of a long row costs more,
because it attends to more tokens: GFLOP/s counts that.
"""

import argparse
import random
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.sft_throughput import (
    BASE,
    KEYS,
    OURS,
    PROJECT,
    Measured,
    Program,
    environment_of,
    flags,
    rows_of,
    run_in_turns,
    save_model,
    write_rows,
)

N_ROWS = (1_000, 10_000, 100_000)
LENGTHS = (128, 512, 2048)
N_TOKENS = 8192  # of a step with rows of one length
BATCH_SIZE = 16  # of rows of any length
N_OTHER_TOKENS = 16  # of the template, in a row of a given length
WIDTH, HEIGHT, MARGIN = 300, 180, 45  # of one chart


def drawn_rows(n_rows: int) -> list[dict[str, Any]]:
    dolly, chosen, rows = rows_of("dolly"), random.Random(0), []
    for number in range(n_rows):
        question, answer = chosen.choice(dolly)["messages"]
        rows.append({"messages": [{**question, "content": f"{number}. {question['content']}"}, answer]})
    return rows


def rows_of_length(length: int, n_rows: int) -> list[dict[str, Any]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    ids = [token for path in paths[:100] for token in tokenizer(path.read_text("utf-8"))["input_ids"]]
    begins = [random.Random(number).randrange(len(ids) - length) for number in range(n_rows)]
    texts = [tokenizer.decode(ids[begin : begin + length - N_OTHER_TOKENS]) for begin in begins]
    return [{"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": text}]}
            for text in texts]  # fmt: skip


def run(rows: list[dict[str, Any]], batch_size: int, n_steps: int, environment: dict[str, str]) -> Measured:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model("llama-6m", folder / "model")
        write_rows(rows, folder / "rows.jsonl")
        keys = {**KEYS, **OURS, "max_length": 4096, "per_device_train_batch_size": batch_size, "max_steps": n_steps,
                "model_name_or_path": folder / "model", "dataset_name": folder / "rows.jsonl"}  # fmt: skip
        program = Program([sys.executable, "pipelines/sft.py", *flags(keys)], PROJECT, environment, folder / "run")
        return run_in_turns([program])[0]


def figures(runs: Sequence[Measured]) -> dict[str, float]:
    """Medians of the runs of one case."""
    last = [measured.logs[-1] for measured in runs]
    gflops = [1000 * log["tflops_per_second"] / log["tokens_per_second"] for log in last]  # of a token
    speeds = [measured.speed("cpu_seconds") for measured in runs]
    return {
        "tokens per CPU second": statistics.median(speeds),
        "GFLOP per CPU second": statistics.median(a * b for a, b in zip(speeds, gflops, strict=True)),
        "start, CPU seconds": statistics.median(measured.cpu_seconds[0] for measured in runs),
        "peak memory, MiB": statistics.median(measured.peak_mib for measured in runs),
    }


def chart(place: int, title: str, values: dict[str, float]) -> str:
    """One chart of the picture: a line through the values, from zero, each value written at its point."""
    left, top, most = place % 2 * WIDTH, place // 2 * HEIGHT, 1.15 * max(values.values())
    step = (WIDTH - 2 * MARGIN) / (len(values) - 1)
    points = [(left + MARGIN + number * step, top + HEIGHT - 25 - (HEIGHT - 60) * value / most)
              for number, value in enumerate(values.values())]  # fmt: skip
    words: list[tuple[float, float, str]] = [(left + WIDTH / 2, top + 16, title)]
    for (x, y), (name, value) in zip(points, values.items(), strict=True):
        words += [(x, y - 8, f"{value:,.0f}"), (x, top + HEIGHT - 8, name)]
    bottom = top + HEIGHT - 25
    return "\n".join([
        f'<line x1="{left + 20}" y1="{bottom}" x2="{left + WIDTH - 20}" y2="{bottom}" stroke="#999"/>',
        f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in points)}" fill="none" stroke="#1f6feb"/>',
        *(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="#1f6feb"/>' for x, y in points),
        *(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{text}</text>' for x, y, text in words),
    ])  # fmt: skip


def picture(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """An SVG: tokens per CPU second, then memory, each by rows and by length."""
    shown = [(figure, kind) for figure in ("tokens per CPU second", "peak memory, MiB") for kind in found]
    charts = [chart(place, f"{figure} by {kind}", {name: case[figure] for name, case in found[kind].items()})
              for place, (figure, kind) in enumerate(shown)]  # fmt: skip
    size = f'width="{2 * WIDTH}" height="{2 * HEIGHT}" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *charts, "</svg>", ""])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--steps", type=int, default=6)
    options.add_argument("--avx2", action="store_true", help="restrict the processor to AVX2")
    options.add_argument("--n_rows", type=int, nargs="+", default=N_ROWS)
    options.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    options.add_argument("--picture", type=Path, help="write an SVG")
    chosen = options.parse_args()
    environment = environment_of(1, avx2=chosen.avx2)
    cases = [*(("rows", n_rows) for n_rows in chosen.n_rows), *(("length", length) for length in chosen.lengths)]
    runs: dict[tuple[str, int], list[Measured]] = {case: [] for case in cases}
    for _ in range(chosen.rounds):
        for kind, size in cases:
            rows = drawn_rows(size) if kind == "rows" else rows_of_length(size, 8 * N_TOKENS // size)
            batch_size = BATCH_SIZE if kind == "rows" else N_TOKENS // size
            runs[kind, size].append(run(rows, batch_size, chosen.steps, environment))
            print(kind, size, figures(runs[kind, size]), file=sys.stderr, flush=True)
    found: dict[str, dict[str, dict[str, float]]] = {"rows": {}, "length": {}}
    for (kind, size), measured in runs.items():
        found[kind][f"{size:,}"] = figures(measured)
    names = list(figures(next(iter(runs.values()))))
    print(f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for kind, sizes in found.items():
        for size, values in sizes.items():
            print(f"| {kind} {size} | {' | '.join(f'{value:,.1f}' for value in values.values())} |")
    if chosen.picture:
        chosen.picture.write_text(picture(found))


if __name__ == "__main__":
    main()
