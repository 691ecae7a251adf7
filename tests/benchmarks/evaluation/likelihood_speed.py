r"""Log-likelihood of the same text: this project beside lm-eval's `loglikelihood_rolling` at its best batch size.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.evaluation.likelihood_speed --model recipes/quickstart/base \
        --text wiki.valid.raw --n_characters 60000 --documents file --documents line

    OMP_NUM_THREADS=1 python -m tests.benchmarks.evaluation.likelihood_speed --random_smollm2 gpt2-hf --text FILE
    python -m tests.benchmarks.evaluation.likelihood_speed --model recipes/quickstart/base --text README.md --programs

One process, one model object, the same windows: `--window M+1 --stride M` here is max_length M with
add_bos_token=False there. lm-eval runs at each of `--batch_sizes` and its best median counts. The sides alternate
`--n_rounds` times after a warm-up. `--documents file` is one text, `line` one document for each line. With `--programs`
pipelines/perplexity.py and `lm_eval run` are measured from start to end, imports and loading included. Prints Markdown
rows: documents, tokens, medians of CPU and wall seconds of both, the ratios (lm-eval / here), both log-likelihoods. Set
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 for an ordinary processor, OMP_NUM_THREADS for threads. Exit code 1 if
the log-likelihoods differ by more than 1e-4.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM

from pipelines.evaluation.likelihood.likelihood import text_likelihoods
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel, load_tokenizer
from tests.benchmarks.turns import Way, in_turns
from tests.twins.models import real_config

TOLERANCE = 1e-4
ROOT = Path(__file__).parents[3]


def random_smollm2(tokenizer_path: str) -> LoadedModel:
    """SmolLM2-135M's shape at random weights; ids beyond the tokenizer's are never read."""
    torch.manual_seed(0)
    config, tokenizer = real_config("smollm2-135m"), load_tokenizer(tokenizer_path)
    config.vocab_size = max(config.vocab_size, len(tokenizer))
    return LoadedModel("SmolLM2-135M", tokenizer_path, AutoModelForCausalLM.from_config(config).eval(), tokenizer)


def in_process(loaded: LoadedModel, texts: list[str], options: argparse.Namespace) -> tuple[str, list[Way]]:
    """The size of the texts, and the ways to measure them: this project's first."""
    from lm_eval.models.huggingface import HFLM  # an extra

    longest = min(loaded.max_positions or 2048, 2048)
    n_tokens = 0

    def here() -> float:
        nonlocal n_tokens
        found = text_likelihoods(loaded, texts, window=longest + 1, stride=longest)
        n_tokens = sum(one.n_tokens for one in found)
        return -math.fsum(one.nll_nats for one in found)

    def there(batch_size: int) -> Callable[[], float]:
        harness = HFLM(
            pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size, max_length=longest,
            add_bos_token=False,
        )  # fmt: skip
        requests = [SimpleNamespace(args=(text,)) for text in texts]
        return lambda: math.fsum(harness.loglikelihood_rolling(requests, disable_tqdm=True))

    ways = [Way("here", here), *(Way(str(n), there(n)) for n in options.batch_sizes)]
    text_likelihoods(loaded, texts[:4], window=longest + 1, stride=longest)
    in_turns(ways, options.n_rounds)
    return f"{len(texts)} | {n_tokens:,}", ways


def programs(text: str, options: argparse.Namespace) -> tuple[str, list[Way]]:
    """Both programs from start to end; lm-eval's byte perplexity gives its log-likelihood."""
    folder = Path(tempfile.mkdtemp())
    longest = json.loads((Path(options.model) / "config.json").read_text())["max_position_embeddings"]
    (folder / "text.txt").write_text(text)
    (folder / "text.jsonl").write_text(json.dumps({"page": text}) + "\n")
    (folder / "task.yaml").write_text(
        "task: own_text\ndataset_path: json\ndataset_kwargs: {data_files: {test: " + str(folder / "text.jsonl") + "}}\n"
        "output_type: loglikelihood_rolling\ntest_split: test\ndoc_to_text: ''\ndoc_to_target: '{{page}}'\n"
        "metric_list: [{metric: bits_per_byte}]\n"
    )
    n_bytes = len(text.encode())

    def run(*command: str) -> str:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def here() -> float:
        out = folder / "perplexity.json"
        out.unlink(missing_ok=True)
        run(
            "pipelines/perplexity.py", "--model_name_or_path", options.model, "--dataset", str(folder / "text.txt"),
            "--window", str(longest + 1), "--stride", str(longest), "--dtype", options.dtype, "--output", str(out),
        )  # fmt: skip
        return -float(json.loads(out.read_text())["results"][0]["nll_nats"])

    def there(batch_size: int) -> Callable[[], float]:
        arguments = f"pretrained={options.model},dtype={options.dtype},max_length={longest},add_bos_token=False"

        def measure() -> float:
            out = folder / f"harness{time.time_ns()}"
            run(
                "-m", "lm_eval", "run", "--model", "hf", "--model_args", arguments, "--tasks", "own_text",
                "--include_path", str(folder), "--device", "cpu", "--batch_size", str(batch_size),
                "--output_path", str(out),
            )  # fmt: skip
            [record] = out.rglob("results*.json")
            bits = json.loads(record.read_text())["results"]["own_text"]["bits_per_byte,none"]
            return -float(bits) * math.log(2) * n_bytes

        return measure

    ways = [Way("here", here), *(Way(str(n), there(n)) for n in options.batch_sizes)]
    in_turns(ways, options.n_rounds)
    return f"1 | {n_bytes:,} bytes", ways


def row(name: str, size: str, ways: list[Way]) -> tuple[str, float]:
    """The table's row, and the relative difference of the log-likelihoods."""
    here, *others = ways
    best = min(others, key=lambda way: way.seconds[1])
    (wall, cpu), (their_wall, their_cpu) = here.seconds, best.seconds
    difference = abs(here.found - best.found) / abs(best.found)
    cells = [name, size, f"{cpu:.2f} / {wall:.2f}", f"{their_cpu:.2f} / {their_wall:.2f} ({best.name})"]
    cells += [f"{their_cpu / cpu:.2f}x / {their_wall / wall:.2f}x", f"{here.found:.2f}, {best.found:.2f}"]
    return f"| {' | '.join(cells)} | {difference:.1e} |", difference


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--model")
    flags.add_argument("--random_smollm2", metavar="TOKENIZER", help="its shape at random weights in place of --model")
    flags.add_argument("--text", type=Path, required=True)
    flags.add_argument("--n_characters", type=int)
    flags.add_argument("--documents", action="append", choices=["file", "line"])
    flags.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 4, 16])
    flags.add_argument("--n_rounds", type=int, default=3)
    flags.add_argument("--dtype", default="float32")
    flags.add_argument("--programs", action="store_true")
    options = flags.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    text = options.text.read_text()[: options.n_characters]
    rows = []
    if options.programs:
        rows.append(row(f"{options.model}, programs", *programs(text, options)))
    else:
        loaded = random_smollm2(options.random_smollm2) if options.random_smollm2 else None
        loaded = loaded or load_for_inference(options.model, dtype=options.dtype)
        for kind in options.documents or ["file"]:
            texts = [text] if kind == "file" else [line for line in text.split("\n") if line.strip()]
            rows.append(row(f"{loaded.name}, {kind}", *in_process(loaded, texts, options)))
    isa, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    print(f"\n{options.dtype}, {isa}, {threads} threads, median of {options.n_rounds}; CPU / wall seconds\n")
    print("| model | documents | tokens | here | lm-eval, best batch | times as fast | log-likelihoods | difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(line for line, _ in rows))
    sys.exit(0 if all(difference <= TOLERANCE for _, difference in rows) else 1)


if __name__ == "__main__":
    main()
