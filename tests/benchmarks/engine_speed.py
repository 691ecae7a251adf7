"""Answers of llama.cpp with 16 requests in flight beside this project's generation in process: same texts, float32.

    python -m tests.benchmarks.engine_speed --model build/quickstart/merged --prompts build/quickstart/instructions

`--model` is a model folder, which is converted to a GGUF file in F32 and served by llama.cpp on the loopback. Both ways
answer the same prompts greedily, through what compare.py calls, and take turns `--n_rounds` times. The CPU seconds of a
served round are those of server and client. Prints a Markdown table; exit code 1 if a text differs, or if the server is
less than twice as fast in CPU or wall time.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import psutil
import torch

from data_prep.conversation import Conversation
from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.engine_flags import N_AT_ONCE
from pipelines.endpoint.llama_cpp import ServerOptions, llama_cpp_version, llama_server
from pipelines.hub.model_ref import ModelRef
from pipelines.inference.generation import Answer, SamplingPolicy, generate_answers
from pipelines.inference.loading import load_for_inference
from pipelines.inference.served_model import ServedModel
from pipelines.modeling import PromptStyle, render_prompt
from tests.benchmarks.generation_speed import distinct_requests
from tests.benchmarks.turns import Way, in_turns
from tests.served.gguf_files import save_gguf

AT_LEAST = 2.0


def row(way: Way) -> str:
    n_tokens, (wall, cpu) = sum(one.n_tokens for one in way.found), way.seconds
    return f"| {way.name} | {n_tokens:,} | {wall:.2f} | {cpu:.2f} | {n_tokens / wall:,.0f} | {n_tokens / cpu:,.0f} |"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--model", required=True, help="a model folder")
    flags.add_argument("--prompts", type=Path, required=True)
    flags.add_argument("--style", default="chat", choices=list(PromptStyle))
    sizes = {"n_prompts": 200, "n_rounds": 3, "max_new_tokens": 256, "threads": 2, "batch_size": 32}
    flags.add_argument("--cache", default="f32", choices=["f32", "f16"], help="type of llama.cpp's keys and values")
    for name, default in sizes.items():
        flags.add_argument(f"--{name}", type=int, default=default)
    options = flags.parse_args()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)
    style, policy = PromptStyle(options.style), SamplingPolicy(max_new_tokens=options.max_new_tokens)
    requests = distinct_requests(options.prompts, options.n_prompts)
    asked = [Conversation([{"role": "user", "content": "\n\n".join(filter(None, one))}]) for one in requests]
    loaded = load_for_inference(options.model, dtype="float32")

    def here() -> list[Answer]:
        rendered = [render_prompt(loaded.tokenizer, one, style) for one in asked]
        return [only for [only] in generate_answers(loaded, rendered, policy, batch_size=options.batch_size)]

    with tempfile.TemporaryDirectory() as folder:
        file = save_gguf(Path(options.model), Path(folder) / "model.gguf")
        context = loaded.max_positions or 2048
        with llama_server(file, ServerOptions(N_AT_ONCE, context, options.threads, options.cache)) as url:
            [server] = [one for one in psutil.Process().children() if "llama_cpp" in " ".join(one.cmdline())]
            served = ServedModel("served", ModelRef(options.model), Endpoint(url, n_at_once=N_AT_ONCE))

            def there() -> list[Answer]:
                return [only for [only] in served.answers(asked, style, policy)[0]]

            ours, theirs = Way("in process", here), Way("llama.cpp", there, server)
            in_turns([ours, theirs], options.n_rounds)
    pairs = zip(ours.found, theirs.found, strict=True)
    n_equal = sum((a.text, a.stopped, a.n_tokens) == (b.text, b.stopped, b.n_tokens) for a, b in pairs)
    ratios = [a / b for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
    print(f"\n{len(asked)} prompts, {options.threads} threads, F32, keys and values in {options.cache}, ", end="")
    print(f"llama.cpp {llama_cpp_version()}, medians of {options.n_rounds} rounds; {n_equal} answers are equal\n")
    print("| answers | tokens | s | CPU s | tokens/s | tokens/CPU s |\n|---|---:|---:|---:|---:|---:|")
    print(row(ours), row(theirs), sep="\n")
    print(f"\n{ratios[0]:.2f} times as fast in wall time, {ratios[1]:.2f} in CPU time")
    sys.exit(0 if n_equal == len(asked) and min(ratios) >= AT_LEAST else 1)


if __name__ == "__main__":
    main()
