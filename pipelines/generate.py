r"""Answer prompts with a model: once or several times, greedy or sampled, with token probabilities on request.

    python pipelines/generate.py --model_name_or_path recipes/quickstart/base \
        --prompt "Write a Python function find_max(numbers) that returns the largest number." --num_samples 3

    accelerate launch --config_file accelerate_configs/cpu_ddp.yaml pipelines/generate.py \
        --model_name_or_path runs/my-instruct --prompts prompts.jsonl --output answers.jsonl --resume

Input: a model or an adapter (folder, org/name or org/name@revision), or a base with --adapter; and --prompt, or
--prompts, a file or dataset folder in any row format (the last answer of a row is left out and generated). --system is
the system text of prompts that have none. The prompt is put into the model's chat template, or into --chat_template;
with --plain, or without a template, the model continues it unchanged, as it does rows of `prompt` and `completion`
texts. Output: the answers on stdout and, with --output, one JSON line per prompt: instruction, input, messages,
prompt_style, n_prompt_tokens and answers (text, n_tokens, stopped; tokens with --show_probabilities).

One sample is greedy; several are drawn at temperature 0.7, unless --temperature says otherwise (0 is greedy). The same
seed gives the same samples; with --dtype float32 also in other batches and on any number of processes (in bfloat16 two
tokens can round to the same logit). --show_probabilities lists each generated token with its probability and the five
most likely alternatives, from the model's own distribution before temperature and top_p.

With --output, finished answers are kept in answers.jsonl.partial until all are done. After an interruption, the same
command with --resume generates only the missing ones.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, add_dtype, not_negative, positive_number, run_program, share


def parser() -> argparse.ArgumentParser:
    """The program's flags."""
    flags = ArgumentParser(__doc__)
    flags.add_argument("--model_name_or_path", required=True, metavar="M", help="model or adapter: folder or Hub id")
    flags.add_argument("--adapter", metavar="A", help="adapter for that model: folder or Hub id")
    flags.add_argument("--prompt", action="append", default=[], metavar="P", help="a prompt; repeatable")
    flags.add_argument("--prompts", type=Path, metavar="F", help="file of prompts, or dataset folder (its test split)")
    flags.add_argument("--system", metavar="TEXT", help="system text of each prompt that has none of its own")
    flags.add_argument("--chat_template", metavar="T", help="replaces the model's own: .jinja file or folder")
    flags.add_argument("--plain", action="store_true", help="no chat template")
    flags.add_argument("--num_samples", type=positive_number, default=1, help="answers to each prompt (default 1)")
    flags.add_argument("--temperature", type=not_negative, help="0 is greedy (default: 0 for one sample, else 0.7)")
    flags.add_argument("--top_p", type=share, default=1.0, help="nucleus sampling threshold (default 1: off)")
    flags.add_argument(
        "--max_new_tokens", type=positive_number, default=256, help="token limit of an answer (default 256)"
    )
    flags.add_argument("--batch_size", type=int, default=32, help="answers generated together (default 32)")
    add_dtype(flags)
    flags.add_argument("--show_probabilities", action="store_true", help="list each token with its alternatives")
    flags.add_argument("--seed", type=int, default=0, help="seed of the samples (default 0)")
    flags.add_argument("--output", type=Path, metavar="FILE.jsonl", help="also write the answers to this new file")
    flags.add_argument("--resume", action="store_true", help="continue an interrupted call: generate what is missing")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the answers, and write them with --output."""
    flags = parser().parse_args(arguments)
    from pipelines.errors import UserError
    from pipelines.evaluation.prompts.given_template import GivenTemplate
    from pipelines.evaluation.prompts.prompt_sets import read_prompts, typed_prompts
    from pipelines.files import refuse_existing, refuse_unwritable, write_jsonl_atomically
    from pipelines.hub.model_ref import resolve_model

    model = resolve_model(flags.model_name_or_path, flags.adapter)
    template = GivenTemplate.read(flags.chat_template)
    prompts = typed_prompts(flags.prompt) + (read_prompts(flags.prompts) if flags.prompts else [])
    prompts = [prompt.with_system(flags.system) for prompt in prompts]
    if not prompts:
        raise UserError("no prompt", "give at least one with --prompt or --prompts")
    if flags.output:
        refuse_unwritable(flags.output.parent)
    if flags.resume and not flags.output:
        raise UserError("--resume needs --output", "give the file of the interrupted call")
    from pipelines.evaluation.prompts.answer_lines import answer_line, shown_line
    from pipelines.evaluation.prompts.given_template import template_losses
    from pipelines.inference.answer_store import open_answer_store
    from pipelines.inference.generation import SamplingPolicy, generate_answers, token_choices_of
    from pipelines.inference.loading import load_for_inference
    from pipelines.inference.processes import is_main_process, processes
    from pipelines.modeling import PromptStyle, render_prompt

    temperature = flags.temperature if flags.temperature is not None else (0.7 if flags.num_samples > 1 else 0.0)
    policy = SamplingPolicy(temperature, flags.top_p, flags.num_samples, flags.seed, flags.max_new_tokens)
    if flags.output and is_main_process():
        refuse_existing(flags.output)
    store = open_answer_store(flags.output, resume=flags.resume) if flags.output else None
    processes()  # before the model is loaded, so that each has its own device
    loaded = load_for_inference(model, dtype=flags.dtype)
    loaded = template.on(loaded) if template else loaded
    style = PromptStyle.RAW if flags.plain or not loaded.has_chat_template else PromptStyle.CHAT
    if not (flags.plain or loaded.has_chat_template) and is_main_process():
        print("the model has no chat template, so it continues the prompts as they are", file=sys.stderr)
    if style is PromptStyle.CHAT:
        template_losses(loaded, [one.asked for one in prompts])
    rendered = [render_prompt(loaded.tokenizer, one.asked, style) for one in prompts]
    answers = generate_answers(loaded, rendered, policy, batch_size=flags.batch_size, store=store)
    if not is_main_process():
        return
    lines = []
    for prompt, token_ids, samples in zip(prompts, rendered, answers, strict=True):
        choices = token_choices_of(loaded, [token_ids] * len(samples), samples) if flags.show_probabilities else None
        of_prompt = style if prompt.messages is not None else PromptStyle.RAW
        lines.append(answer_line(prompt, of_prompt, len(token_ids), samples, choices))
        print(shown_line(lines[-1]))
    if flags.output and store is not None:
        write_jsonl_atomically(flags.output, lines)
        store.remove()


if __name__ == "__main__":
    run_program(main)
