r"""Run standard benchmarks of lm-evaluation-harness on a base (few-shot, no template) and instruct models (template).

    python pipelines/benchmark.py --base recipes/quickstart/base --instruct runs/my-instruct \
        --tasks my_task --include_path my_tasks --limit 100 --output runs/benchmark.json

    python pipelines/benchmark.py --base BASE --instruct ADAPTER --tasks arc_easy,gsm8k --num_fewshot 5

Input: a base and instruct models or adapters of that base (folders, or Hub ids as org/name or org/name@revision), and
tasks: names of tasks, groups or tags of the harness (`lm-eval ls tasks` lists them), YAML task files, or names of task
files in the folder --include_path. A task whose `dataset_path` is a reader of local files (json, csv, parquet, text)
works offline.

Output: a table and, with --output, the record benchmark.json: every metric of every task with its standard error for
each model, and for metrics that are means or ratios over items the paired difference from the base with its 95%
interval and p-value. The base gets few-shot examples as text before the item, instruct models get the same examples
as turns of a conversation. compare.py --benchmark adds the record to its report.

With --engine URL an OpenAI-compatible server answers for the instruct models, with --engine base=URL for the base, 16
requests at a time. If all tasks generate text, chats go there as messages. Tasks that compare log-likelihoods need a
server that tells them of given text (vLLM does, llama.cpp and `transformers serve` do not), and get token ids.

A task file that contains Python code is refused unless you pass --trust_task_code. Needs the extra `benchmarks`.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, positive_number, run_program, whole_number
from pipelines.endpoint.engine_flags import add_engine, engines_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the record."""
    flags = _parser().parse_args(arguments)
    if flags.run_code_unconfined:
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"
    from pipelines.files import refuse_existing, refuse_missing, refuse_unwritable, write_json_atomically
    from pipelines.hub.model_names import compared_names
    from pipelines.hub.model_ref import resolve_compared

    if flags.output:
        refuse_existing(flags.output)
        refuse_unwritable(flags.output.parent)
    refuse_missing(include_path=flags.include_path)
    engines = engines_of(flags, compared_names(resolve_compared(flags.base, flags.instruct)))
    from pipelines.evaluation.lm_eval.benchmark_record import benchmark_table
    from pipelines.evaluation.lm_eval.benchmark_run import BenchmarkPlan
    from pipelines.evaluation.lm_eval.benchmarking import benchmark
    from pipelines.evaluation.lm_eval.tasks import TaskChoice

    choice = TaskChoice(
        flags.tasks, flags.include_path, flags.num_fewshot, flags.trust_task_code, flags.run_code_unconfined
    )
    plan = BenchmarkPlan(flags.limit, flags.batch_size, flags.seed, engines)
    record = benchmark(flags.base, flags.instruct, choice, plan)
    print(benchmark_table(record))
    if flags.output:
        write_json_atomically(flags.output, record)
        print(f"record written to {flags.output}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--base", required=True, metavar="M", help="base model: folder, org/name or org/name@revision")
    add("--instruct", required=True, action="append", metavar="M", help="model or adapter; repeatable")
    add("--tasks", required=True, type=_names, metavar="A,B", help="tasks, groups, tags or task files")
    add("--include_path", type=Path, metavar="FOLDER", help="folder of your own task files")
    add("--num_fewshot", type=whole_number, metavar="N", help="few-shot examples per item (default: the task's)")
    add("--limit", type=positive_number, metavar="N", help="measure N items of each task, drawn with the seed")
    add("--batch_size", type=positive_number, default=8, metavar="N", help="items at a time (default 8)")
    add("--seed", type=int, default=0, help="seed of examples, items and statistics (default 0)")
    add("--trust_task_code", action="store_true", help="let task files run their own Python code")
    add(
        "--run_code_unconfined",
        action="store_true",
        help="let tasks such as humaneval run generated code with your permissions",
    )
    add_engine(parser, of_several=True)
    add("--output", type=Path, metavar="FILE.json", help="where to write the record")
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("it names no task")
    return names


if __name__ == "__main__":
    run_program(main)
