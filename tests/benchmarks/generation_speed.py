"""Answers of a base and its instruct model: this project's generation beside plain transformers, one prompt at a time.

    python -m tests.benchmarks.generation_speed --base recipes/quickstart/base --instruct runs/quickstart \\
        --prompts data/python-instructions --n_prompts 1000

Both decode greedily with the same end tokens and limit. All prompts are answered in batches; `model.generate` then
answers `--n_alone` of them, drawn with the seed, one after the other. Each is measured `--n_repeats` times after a
warm-up, and the median counts. The texts of the two must be equal, which holds in float32 (in bfloat16 two tokens can
round to the same logit). Prints a Markdown table last; exit code 1 if a model is less than four times as fast.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data_prep.dataset_folder import is_dataset_folder, read_rows
from pipelines.inference.decoding import plain_generation_config
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt

AT_LEAST = 4.0


@dataclass(frozen=True)
class Speed:
    """Medians of one way to generate."""

    n_prompts: int
    n_tokens: int
    seconds: float
    texts: list[str]

    @property
    def tokens_per_second(self) -> float:
        return self.n_tokens / self.seconds


def distinct_requests(path: Path, n: int) -> list[tuple[str, str]]:
    """`n` different prompts of a file or of a dataset folder, from its test split on: equal ones are answered once."""
    splits = ["test", "validation", "train"] if is_dataset_folder(path) else ["test"]
    rows = [row for split in splits for row in read_rows(path, split)]
    found = list(dict.fromkeys((row.get("instruction") or row["prompt"], row.get("input") or "") for row in rows))
    assert len(found) >= n, f"{len(found)} different prompts in {path}, {n} wanted"
    return found[:n]


def measured(answer_all: Callable[[], tuple[list[str], int]], n_prompts: int, n_repeats: int) -> Speed:
    seconds = []
    for _ in range(n_repeats):
        begin = time.perf_counter()
        texts, n_tokens = answer_all()
        seconds.append(time.perf_counter() - begin)
    return Speed(n_prompts, n_tokens, statistics.median(seconds), texts)


def in_batches(loaded: LoadedModel, prompts: Sequence[list[int]], options: argparse.Namespace) -> Speed:
    policy = SamplingPolicy(max_new_tokens=options.max_new_tokens)

    def answer_all() -> tuple[list[str], int]:
        answers = [one for [one] in generate_answers(loaded, prompts, policy, batch_size=options.batch_size)]
        return [one.text for one in answers], sum(len(one.token_ids) for one in answers)

    generate_answers(loaded, prompts[:8], SamplingPolicy(max_new_tokens=8))
    return measured(answer_all, len(prompts), options.n_repeats)


def one_by_one(loaded: LoadedModel, prompts: Sequence[list[int]], options: argparse.Namespace) -> Speed:
    model: Any = loaded.model
    with plain_generation_config(loaded) as stop_ids:
        settings = {"eos_token_id": stop_ids, "pad_token_id": loaded.tokenizer.pad_token_id, "do_sample": False}
    settings |= {"max_new_tokens": options.max_new_tokens, "use_cache": True}

    def new_ids(prompt: list[int]) -> list[int]:
        token_ids = torch.tensor([prompt], device=loaded.device)
        whole = model.generate(input_ids=token_ids, attention_mask=torch.ones_like(token_ids), **settings)
        return whole[0, len(prompt) :].tolist()

    def answer_all() -> tuple[list[str], int]:
        answers = [new_ids(prompt) for prompt in prompts]
        decoded = [loaded.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
        return decoded, sum(map(len, answers))

    new_ids(prompts[0])
    return measured(answer_all, len(prompts), options.n_repeats)


def compared(
    loaded: LoadedModel, requests: Sequence[tuple[str, str]], options: argparse.Namespace
) -> tuple[str, float]:
    """The model's row of the table, and how many times as fast the batches are."""
    style = PromptStyle.CHAT if loaded.has_chat_template and loaded.name == "instruct" else PromptStyle.PLAIN
    prompts = [render_prompt(loaded.tokenizer, "\n\n".join(filter(None, request)), style) for request in requests]
    chosen = sorted(random.Random(options.seed).sample(range(len(prompts)), min(options.n_alone, len(prompts))))
    batched = in_batches(loaded, prompts, options)
    alone = one_by_one(loaded, [prompts[place] for place in chosen], options)
    different = [place for place, text in zip(chosen, alone.texts, strict=True) if text != batched.texts[place]]
    assert not different, f"{loaded.name}: {len(different)} of {len(chosen)} texts differ, first prompt {different[0]}"
    ratio = batched.tokens_per_second / alone.tokens_per_second
    row = f"| {loaded.name} | {batched.n_prompts:,} | {batched.n_tokens:,} | {batched.seconds / 60:.2f} "
    row += f"| {batched.tokens_per_second:,.0f} | {alone.n_prompts} | {alone.n_tokens:,} "
    return row + f"| {alone.tokens_per_second:,.0f} | {ratio:.1f}x |", ratio


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--base", required=True)
    flags.add_argument("--instruct", required=True, help="a model, or an adapter of the base")
    flags.add_argument("--prompts", type=Path, required=True, help="file or dataset folder")
    for name, default in {
        "n_prompts": 1000,
        "n_alone": 40,
        "n_repeats": 3,
        "batch_size": 64,
        "max_new_tokens": 256,
    }.items():
        flags.add_argument(f"--{name}", type=int, default=default)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--dtype", default="float32")
    options = flags.parse_args()
    requests = distinct_requests(options.prompts, options.n_prompts)
    adapter = options.instruct if (Path(options.instruct) / "adapter_config.json").is_file() else None
    found = []
    for name, path, on_it in (
        ("base", options.base, None),
        ("instruct", options.base if adapter else options.instruct, adapter),
    ):
        found.append(compared(load_for_inference(path, on_it, name=name, dtype=options.dtype), requests, options))
    print(
        f"\n{options.dtype}, batches of {options.batch_size}, {torch.get_num_threads()} threads, "
        f"median of {options.n_repeats}, at most {options.max_new_tokens} tokens an answer, seed {options.seed}\n"
    )
    print("| model | prompts | tokens | minutes | tokens/s | one by one: prompts | tokens | tokens/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(row for row, _ in found))
    sys.exit(0 if all(ratio >= AT_LEAST for _, ratio in found) else 1)


if __name__ == "__main__":
    main()
