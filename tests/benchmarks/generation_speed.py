"""Generation beside plain `model.generate` with padded batches at its best batch size: same texts, float32, greedy.

    python -m tests.benchmarks.generation_speed --base recipes/quickstart/base --instruct build/quickstart/instruct \\
        --prompts build/quickstart/instructions --n_prompts 300

`--prompts` is a file or dataset folder; `--instruct`, an adapter, is measured attached and merged; without `--base` the
model has the shape of SmolLM2-135M and random weights. `model.generate` answers all prompts in left-padded batches of
each of `--batch_sizes`, sorted by length and in the given order; its two fastest ways and this project's then take
turns `--n_rounds` times. Medians of wall time and CPU time are compared, and the texts must be equal, which holds in
float32. `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` makes the processor compute as one without AVX-512. Prints a
Markdown table last; exit code 1 if a model is less than 1.5 times as fast.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_prep.dataset_folder import is_dataset_folder, read_rows
from pipelines.inference.decoding import plain_generation_config
from pipelines.inference.generation import SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.inference.sampling import pad_left
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt
from tests.benchmarks.turns import Way, in_turns
from tests.twins.models import real_config

AT_LEAST = 1.5
QUICKSTART = "recipes/quickstart/base"
Texts = list[str]


def distinct_requests(path: Path, n: int) -> list[tuple[str, str]]:
    """`n` different prompts of a file or of a dataset folder, from its test split on: equal ones are answered once."""
    splits = ["test", "validation", "train"] if is_dataset_folder(path) else ["test"]
    rows = [row for split in splits for row in read_rows(path, split)]
    found = list(dict.fromkeys((row.get("instruction") or row["prompt"], row.get("input") or "") for row in rows))
    assert len(found) >= n, f"{len(found)} different prompts in {path}, {n} wanted"
    return found[:n]


def this_project(loaded: LoadedModel, prompts: Sequence[list[int]], options: argparse.Namespace) -> Way:
    policy = SamplingPolicy(max_new_tokens=options.max_new_tokens)

    def answer_all() -> tuple[Texts, int]:
        answers = [one for [one] in generate_answers(loaded, prompts, policy, batch_size=options.batch_size)]
        return [one.text for one in answers], sum(len(one.token_ids) for one in answers)

    return Way("this project", answer_all)


def model_generate(
    loaded: LoadedModel, prompts: Sequence[list[int]], n_rows: int, by_length: bool, options: argparse.Namespace
) -> Way:
    model: Any = loaded.model
    with plain_generation_config(loaded) as stop_ids:
        settings = {"eos_token_id": stop_ids, "pad_token_id": loaded.tokenizer.pad_token_id or 0, "do_sample": False}
    settings |= {"max_new_tokens": options.max_new_tokens, "use_cache": True}
    order = sorted(range(len(prompts)), key=lambda n: -len(prompts[n])) if by_length else list(range(len(prompts)))

    def answer_all() -> tuple[Texts, int]:
        answers: dict[int, list[int]] = {}
        for start in range(0, len(order), n_rows):
            places = order[start : start + n_rows]
            token_ids, mask = pad_left([prompts[place] for place in places], loaded)
            whole = model.generate(input_ids=token_ids, attention_mask=mask, **settings)
            for place, new_ids in zip(places, whole[:, token_ids.shape[1] :].tolist(), strict=True):
                end = next((n + 1 for n, token_id in enumerate(new_ids) if token_id in stop_ids), len(new_ids))
                answers[place] = new_ids[:end]
        in_order = [answers[place] for place in range(len(prompts))]
        texts = [loaded.tokenizer.decode(new_ids, skip_special_tokens=True) for new_ids in in_order]
        return texts, sum(map(len, in_order))

    return Way(f"{n_rows} rows, {'sorted' if by_length else 'as given'}", answer_all)


def compared(loaded: LoadedModel, prompts: Sequence[list[int]], options: argparse.Namespace) -> tuple[str, float]:
    """The model's row of the table, and how many times as fast this project is in CPU time."""
    generate_answers(loaded, prompts[:4], SamplingPolicy(max_new_tokens=4))  # warm
    ours = this_project(loaded, prompts, options)
    plain = [model_generate(loaded, prompts, n, by, options) for n in options.batch_sizes for by in (True, False)]
    for way in (ours, *plain):
        way.run()
        print(f"{loaded.name}: {way.name}: {way.wall[0]:.1f} s, {way.cpu[0]:.1f} CPU s", file=sys.stderr)
    fastest = sorted(plain, key=lambda way: way.cpu[0])[:2]
    in_turns((ours, *fastest), options.n_rounds - 1)
    best = min(fastest, key=lambda way: way.seconds[1])
    texts, n_tokens = ours.found
    for way in plain:
        different = [place for place, text in enumerate(way.found[0]) if text != texts[place]]
        assert not different, f"{loaded.name}: {len(different)} texts differ from {way.name}, first {different[0]}"
    (wall, cpu), (their_wall, their_cpu) = ours.seconds, best.seconds
    row = f"| {loaded.name} | {torch.get_num_threads()} | {n_tokens:,} | {wall:.1f} | {cpu:.1f} "
    row += f"| {best.name} | {their_wall:.1f} | {their_cpu:.1f} | {their_wall / wall:.2f}x | {their_cpu / cpu:.2f}x |"
    return row, their_cpu / cpu


def random_model(folder: str) -> str:
    """Save a model of SmolLM2-135M's shape with random weights and the quickstart's tokenizer."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(real_config("smollm2-135m")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(QUICKSTART).save_pretrained(folder)
    return folder


def models(options: argparse.Namespace) -> Iterator[LoadedModel]:
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or random_model(folder)
        yield load_for_inference(base, name="base", dtype="float32")
    if options.instruct:
        attached = load_for_inference(base, options.instruct, name="adapter", dtype="float32")
        yield attached
        merged: Any = attached.model
        yield LoadedModel("merged", attached.path, merged.merge_and_unload(), attached.tokenizer)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--base")
    flags.add_argument("--instruct", help="an adapter of the base")
    flags.add_argument("--prompts", type=Path, required=True)
    for name, default in {"n_prompts": 300, "n_rounds": 3, "batch_size": 64, "max_new_tokens": 200}.items():
        flags.add_argument(f"--{name}", type=int, default=default)
    flags.add_argument("--batch_sizes", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    flags.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = flags.parse_args()
    requests = distinct_requests(options.prompts, options.n_prompts)
    found = []
    for loaded in models(options):
        style = PromptStyle.PLAIN if loaded.name == "base" else PromptStyle.CHAT
        prompts = [render_prompt(loaded.tokenizer, "\n\n".join(filter(None, one)), style) for one in requests]
        for n_threads in options.threads:
            torch.set_num_threads(n_threads)
            found.append(compared(loaded, prompts, options))
    print(f"\n{options.n_prompts} prompts, float32, at most {options.max_new_tokens} tokens an answer,", end=" ")
    print(f"medians of {options.n_rounds} rounds, {torch.backends.cpu.get_cpu_capability()}\n")
    print("| model | threads | tokens | s | CPU s | `model.generate` at its best | s | CPU s | wall | CPU |")
    print("|---|---:|---:|---:|---:|---|---:|---:|---:|---:|")
    print("\n".join(row for row, _ in found))
    sys.exit(0 if all(ratio >= AT_LEAST for _, ratio in found) else 1)


if __name__ == "__main__":
    main()
