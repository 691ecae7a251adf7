r"""Let a model answer prompts: once or several times, greedily or sampled, with the probability of each token if asked.

    python pipelines/generate.py --model_name_or_path recipes/quickstart/base \
        --prompt "Write a Python function find_max(numbers) that returns the largest number." --num_samples 3

    python pipelines/generate.py --model_name_or_path runs/my-instruct --prompts prompts.jsonl --output answers.jsonl

In: a model folder, an adapter folder or a Hub id (or a base with --adapter); prompts as --prompt (again for more) or
a file of rows with `instruction` (and `input`) or `prompt`. The prompt is put into the model's chat template; with
--plain, or without a template, the model continues it as it is. Out: the answers on stdout and, with --output, one
JSON line a prompt: instruction, input, prompt_style and answers (text, n_tokens, stopped; tokens with
--show_probabilities).

One sample is greedy, several are drawn at temperature 0.7, unless --temperature says otherwise (0 is greedy). The same
seed gives the same samples. --show_probabilities lists each generated token with its probability and the five strongest
alternatives, from the model's own distribution before temperature and top_p.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.command_line import ArgumentParser, run_program


def parser() -> argparse.ArgumentParser:
    """The program's flags."""
    flags = ArgumentParser(__doc__)
    flags.add_argument(
        "--model_name_or_path", required=True, metavar="M", help="model folder, adapter folder or Hub id"
    )
    flags.add_argument("--adapter", metavar="A", help="adapter folder, applied to the model")
    flags.add_argument("--prompt", action="append", default=[], metavar="P", help="a prompt; again for more")
    flags.add_argument("--prompts", type=Path, metavar="F", help="file of prompts, or dataset folder (its test split)")
    flags.add_argument("--plain", action="store_true", help="no chat template")
    flags.add_argument("--num_samples", type=int, default=1, help="answers to each prompt (default 1)")
    flags.add_argument("--temperature", type=float, help="0 is greedy (default: 0 for one sample, 0.7 for several)")
    flags.add_argument("--top_p", type=float, default=1.0, help="share of probability that is sampled from (default 1)")
    flags.add_argument("--max_new_tokens", type=int, default=256, help="token limit of an answer (default 256)")
    flags.add_argument("--batch_size", type=int, default=16, help="answers generated together (default 16)")
    flags.add_argument("--show_probabilities", action="store_true", help="list each token with its rivals")
    flags.add_argument("--seed", type=int, default=0, help="seed of the samples (default 0)")
    flags.add_argument(
        "--output", type=Path, metavar="FILE.jsonl", help="also write the answers here; never overwrites"
    )
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the answers, and write them with --output."""
    flags = parser().parse_args(arguments)
    from pipelines.errors import UserError
    from pipelines.evaluation.generation import SamplingPolicy, generate_answers, token_choices
    from pipelines.evaluation.prompts import read_prompts, typed_prompts
    from pipelines.files import refuse_existing, write_jsonl_atomically
    from pipelines.modeling import PromptStyle, load_for_inference, render_prompt

    temperature = flags.temperature if flags.temperature is not None else (0.7 if flags.num_samples > 1 else 0.0)
    policy = SamplingPolicy(temperature, flags.top_p, flags.num_samples, flags.seed, flags.max_new_tokens)
    prompts = typed_prompts(flags.prompt) + (read_prompts(flags.prompts) if flags.prompts else [])
    if not prompts:
        raise UserError(expected="--prompt or --prompts", got="neither", remedy="give at least one prompt")
    if flags.output:
        refuse_existing(flags.output)
    loaded = load_for_inference(flags.model_name_or_path, flags.adapter)
    style = PromptStyle.RAW if flags.plain or not loaded.has_chat_template else PromptStyle.CHAT
    if not (flags.plain or loaded.has_chat_template):
        print("the model has no chat template, so it continues the prompts as they are", file=sys.stderr)
    rendered = [render_prompt(loaded.tokenizer, one.instruction, one.input, style) for one in prompts]
    lines = []
    answers_to_all = generate_answers(loaded, rendered, policy, batch_size=flags.batch_size)
    for prompt, token_ids, answers in zip(prompts, rendered, answers_to_all, strict=True):
        line: dict[str, Any] = {"instruction": prompt.instruction, "input": prompt.input, "prompt_style": style.value}
        line["answers"] = [{"text": one.text, "n_tokens": one.n_tokens, "stopped": one.stopped} for one in answers]
        if flags.show_probabilities:
            for entry, answer in zip(line["answers"], answers, strict=True):
                entry["tokens"] = [choice.to_json() for choice in token_choices(loaded, token_ids, answer.token_ids)]
        print_line(line)
        lines.append(line)
    if flags.output:
        write_jsonl_atomically(flags.output, lines)


def print_line(line: dict[str, Any]) -> None:
    """One prompt and its answers, for a person to read."""
    print(f"=== {line['instruction']}" + (f"\n{line['input']}" if line["input"] else ""))
    for number, answer in enumerate(line["answers"], start=1):
        end = "stopped by itself" if answer["stopped"] else "cut by the token limit"
        print(f"--- answer {number} of {len(line['answers'])}: {answer['n_tokens']} tokens, {end}\n{answer['text']}")
        for choice in answer.get("tokens", ()):
            rivals = "  ".join(f"{one['token']!r} {one['probability']:.4f}" for one in choice["alternatives"])
            print(f"{choice['probability']:7.4f}  {choice['token']!r:<16} | {rivals}")
    print()


if __name__ == "__main__":
    run_program(main)
