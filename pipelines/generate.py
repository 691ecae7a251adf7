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

With --engine URL an OpenAI-compatible server (llama.cpp, vLLM, `transformers serve`) answers, 16 requests at a time;
the model then gives the tokenizer only. Each line of the output names the engine.

With --output, finished answers are kept in answers.jsonl.partial until all are done. After an interruption, the same
command with --resume generates only the missing ones.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, add_dtype, not_negative, positive_number, run_program, share
from pipelines.endpoint.engine_flags import add_engine, engine_of


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
    add_engine(flags)
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
    engine = engine_of(flags)
    from pipelines.evaluation.prompts.answer_lines import answer_lines, shown_line
    from pipelines.inference.answer_store import open_answer_store
    from pipelines.inference.generation import SamplingPolicy
    from pipelines.inference.loading import load_for_inference
    from pipelines.inference.processes import is_main_process, processes
    from pipelines.inference.served_model import ServedModel
    from pipelines.modeling import LoadedModel

    temperature = flags.temperature if flags.temperature is not None else (0.7 if flags.num_samples > 1 else 0.0)
    policy = SamplingPolicy(temperature, flags.top_p, flags.num_samples, flags.seed, flags.max_new_tokens)
    if flags.output and is_main_process():
        refuse_existing(flags.output)
    store = open_answer_store(flags.output, resume=flags.resume) if flags.output else None
    processes()  # before the model is loaded, so that each has its own device
    loaded: LoadedModel | ServedModel
    if engine:
        loaded = ServedModel(model.short_name, model, engine)
    else:
        loaded = load_for_inference(model, dtype=flags.dtype)
        loaded = template.on(loaded) if template else loaded
    lines = answer_lines(
        loaded, prompts, policy, plain=flags.plain, batch_size=flags.batch_size,
        show_probabilities=flags.show_probabilities, store=store,
    )  # fmt: skip
    for line in lines:
        print(shown_line(line))
    if flags.output and store is not None and is_main_process():
        write_jsonl_atomically(flags.output, lines)
        store.remove()


if __name__ == "__main__":
    run_program(main)
