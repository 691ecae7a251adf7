"""The flags of compare.py and the checks that need no torch."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.command_line import ArgumentParser, add_dtype, not_negative, positive_number, share, whole_number
from pipelines.endpoint.client import Endpoint
from pipelines.endpoint.engine_flags import add_engine, engines_of
from pipelines.errors import UserError
from pipelines.files import refuse_existing, refuse_missing, refuse_unwritable
from pipelines.hub.model_names import compared_names
from pipelines.hub.model_ref import resolve_compared

if TYPE_CHECKING:
    from pipelines.evaluation.prompts.prompt import Prompt

ANSWERS_SO_FAR = "answers.partial.jsonl"
JUDGED_SO_FAR = "judgements.partial.jsonl"


def comparison_flags(manual: str | None) -> argparse.ArgumentParser:
    """The program's flags; `manual` is its docstring."""
    flags = ArgumentParser(manual)
    add = flags.add_argument
    add("--base", required=True, metavar="M", help="base model: folder, org/name or org/name@revision")
    add("--instruct", required=True, action="append", metavar="M", help="model or adapter, as --base; repeatable")
    add("--prompts", required=True, type=Path, metavar="F", help="dataset folder, or file of prompts")
    add("--split", default="test", help="split of a dataset folder (default test)")
    add("--prompt", action="append", default=[], metavar="P", help="extra prompt, shown but not counted")
    add("--all_turns", action="store_true", help="a prompt for each assistant turn (default: only the last)")
    add("--limit", type=positive_number, metavar="N", help="measure N prompts, drawn with --seed (default all)")
    add("--base_prompt_style", default="plain", choices=["plain", "chat"], help="its prompt style (default plain)")
    add("--base_few_shot", type=int, default=3, metavar="K", help="examples for a second baseline (default 3; 0: none)")
    add("--few_shot_from", type=Path, metavar="F", help="source of the examples (default: training split of --prompts)")
    add("--chat_template", metavar="T", help="replaces the models' own: .jinja file or tokenizer folder")
    add_dtype(flags, default=None, otherwise="float32 on a CPU, else auto")
    add("--seed", type=int, default=0, help="seed of the samples and of --limit (default 0)")
    add("--output", required=True, type=Path, metavar="DIR", help="new or empty folder")
    add("--resume", action="store_true", help="continue an interrupted comparison in --output")
    _add_decoding(flags.add_argument_group("answers"))
    _add_further(flags.add_argument_group("further measurements"))
    _add_judge(flags.add_argument_group("judge"))
    add_engine(flags, of_several=True)
    return flags


def refuse_taken(output: Path, *, resume: bool) -> None:
    """Raise `UserError` if `output` has files, except with `resume` those of an interrupted comparison. Every process
    can call this: none writes before all have started."""
    found = {one.name for one in output.iterdir()} if output.is_dir() else set()
    if not found or not all(name.startswith((ANSWERS_SO_FAR, JUDGED_SO_FAR)) for name in found):
        refuse_existing(output)
    elif not resume:
        raise UserError(
            f"{output} has an interrupted comparison", "add --resume to continue it, or give another --output"
        )


def prompts_of(flags: argparse.Namespace) -> "list[Prompt]":
    """Read the typed prompts, then the held-out ones, after checks of all files and models of the flags. Raises
    `UserError` for one that is missing or cannot be read."""
    from pipelines.evaluation.prompts.prompt_sets import held_out_prompts, typed_prompts

    refuse_taken(flags.output, resume=flags.resume)
    refuse_unwritable(flags.output)
    typed = typed_prompts(flags.prompt)
    drawn = {"limit": flags.limit, "seed": flags.seed, "all_turns": flags.all_turns}
    prompts = [*typed, *held_out_prompts(flags.prompts, flags.split, first_id=len(typed), **drawn)]
    names = ("general", "capability", "training_rows", "perplexity", "benchmark", "few_shot_from")
    refuse_missing(**{name: getattr(flags, name) for name in names})
    resolve_compared(flags.base, flags.instruct)
    return prompts


def engines_for(flags: argparse.Namespace) -> dict[str, Endpoint]:
    """The servers that answer for models, by the model's name. Raises `UserError` for one that does not answer."""
    return engines_of(flags, compared_names(resolve_compared(flags.base, flags.instruct)))


def _add_decoding(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--max_new_tokens", type=positive_number, default=256, help="token limit of an answer (default 256)")
    add("--num_samples", type=whole_number, default=2, help="samples of each prompt, 0 for none (default 2)")
    add("--temperature", type=not_negative, default=0.7, help="sampling temperature (default 0.7)")
    add("--top_p", type=share, default=0.95, help="nucleus sampling threshold (default 0.95)")
    add("--batch_size", type=positive_number, default=32, help="answers generated together (default 32)")
    shown = "keep the token probabilities of the greedy answers to the first N prompts (default 8)"
    add("--show_probabilities", type=int, default=8, metavar="N", help=shown)
    add("--run_code", action="store_true", help="run the Python of the answers and their tests, in a sandbox")


def _add_further(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--general", type=Path, metavar="F", help="general text, to measure forgetting in bits per byte")
    add("--capability", type=Path, metavar="F", help="minimal pairs or multiple choice, by log-likelihood")
    add("--training_rows", type=Path, metavar="F", help="training rows, to measure memorization in the answers")
    add("--perplexity", type=Path, metavar="FILE", help="perplexity.json to add to the report")
    add("--benchmark", type=Path, metavar="FILE", help="benchmark.json to add to the report")


def _add_judge(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--judge_url", metavar="URL", help="OpenAI-compatible endpoint (default none); JUDGE_API_KEY has its key")
    add("--judge_model", metavar="NAME", help="the judge's model at that endpoint")
