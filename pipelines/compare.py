r"""Put the same prompts to a base and to instruct models, and report by how much they differ, with 95% intervals.

    python pipelines/compare.py --base recipes/quickstart/base --instruct runs/my-instruct \
        --prompts build/instructions --prompt "Write a Python function find_max(numbers)" --output runs/comparison

In: a base, one or more instruct models or adapters of that base (folders, or Hub ids as org/name or org/name@revision),
and held-out prompts: the test split of a dataset folder, or a file of rows with `instruction` (and `input`, `output` as
the reference, `category`) or `prompt`. Answers are checked against what a row has of `references` (a list of texts),
`numeric_answer`, `tests` (a list of Python statements; or MBPP's test_list, HumanEval's test and entry_point), and
`constraints`, a list such as ["no_commas", {"kind": "n_words", "at_most": 50}], or IFEval's columns; an unknown kind is
answered with all kinds.

The base gets plain prompts, the instruct models their chat template. Each prompt is answered greedily and by
--num_samples seeded samples. A --prompt is answered and shown first; no figure counts it. Beside the answers,
--general (text) and --capability (rows of `good` and `bad`, or of `question`, `context` or `prompt` with `choices` and
`answer`, a place from 0 or a letter) measure what was forgotten, --training_rows what was memorised. Generated code is
parsed; only --run_code runs it, in confined child processes. An OpenAI-compatible --judge_url compares answers in both
orders. What --perplexity and --benchmark wrote is shown in the same report.

Out, in --output: responses.jsonl (every prompt with all answers and their checks), comparison.json (for each model
every metric with its interval, the paired differences with their p-values, and one sentence), report.html, report.md,
and copies of the other programs' records. By `accelerate launch` several processes share the work. A call that was
interrupted goes on with --resume.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from pipelines.command_line import run_program
from pipelines.evaluation.comparison_flags import JUDGED_SO_FAR, comparison_flags, refuse_taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the records, then the report."""
    flags = comparison_flags(__doc__).parse_args(arguments)
    refuse_taken(flags.output, resume=flags.resume)
    from pipelines.evaluation.comparison import beyond_of, comparison_of
    from pipelines.evaluation.comparison_inputs import (
        attached_records,
        judge_of,
        limits_of,
        plan_of,
        prompts_of,
    )
    from pipelines.evaluation.comparison_table import comparison_table
    from pipelines.evaluation.measuring import how_prompted, measure_models
    from pipelines.evaluation.processes import is_main_process, processes
    from pipelines.evaluation.prompts import describe_prompts
    from pipelines.evaluation.responses import judge_responses, responses_of
    from pipelines.evaluation.running_code import confinement
    from pipelines.files import write_json_atomically, write_jsonl_atomically
    from pipelines.hub.pulling import local_copy
    from pipelines.records import describe_machine, versions
    from pipelines.report import write_report

    attached, judge, limits = attached_records(flags), judge_of(flags), limits_of(flags)
    plan, prompts = plan_of(flags), prompts_of(flags)
    models, seconds = measure_models(flags.base, flags.instruct, prompts, plan)
    if not is_main_process():
        return
    start = time.perf_counter()
    responses = responses_of(prompts, models, run_code=limits)
    beyond, details = beyond_of(prompts, models, plan.beyond)
    names, kept = [model.name for model in models], flags.output / JUDGED_SO_FAR
    judged = judge_responses(prompts, responses, names, judge, kept) if judge else None
    record = {
        "kind": "comparison",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": describe_machine(),
        "prompts": describe_prompts(flags.prompts, flags.split, prompts) | how_prompted(models, plan),
        "decoding": plan.decoding.to_json() | {"engine": plan.engine.value, "dtype": plan.dtype},
        "n_processes": processes().num_processes,
        **comparison_of(prompts, models, responses, beyond),
        "details": details,
        "judge": judged,
        "run_code": {"limits": limits.to_json(), "confinement": confinement()} if limits else None,
        "seconds": {**seconds, "statistics": round(time.perf_counter() - start, 3)},
    }
    write_jsonl_atomically(flags.output / "responses.jsonl", responses)
    for name, content in attached.items():
        write_json_atomically(flags.output / name, content)
    write_json_atomically(flags.output / "comparison.json", record)
    if plan.store is not None:
        plan.store.remove()
    kept.unlink(missing_ok=True)
    run_folder = local_copy(flags.instruct[0]).folder
    pages = write_report(flags.output, run_folder if (run_folder / "run.json").is_file() else None)
    print(comparison_table(record))
    print(pages[0])


if __name__ == "__main__":
    run_program(main)
