r"""Compare a base with instruct models on the same prompts: paired differences with 95% intervals, and a report.

    python pipelines/compare.py --base recipes/quickstart/base --instruct runs/my-instruct \
        --prompts build/instructions --prompt "Write a Python function find_max(numbers)" --output runs/comparison

Input: a base, one or more instruct models or adapters of that base (folders, a checkpoint as RUN/checkpoint-100, or Hub
ids as org/name or org/name@revision), and held-out prompts: the test split of a dataset folder, or a file, in any row
format that sft.py trains. The last answer of a row is the reference (with --all_turns each answer), and the models get
everything before it, including system text and tools. A row with only `prompt` has no reference. Answers are checked
against the row's `references` (a list of texts), `numeric_answer`, `tests` (a list of Python statements; or MBPP's
test_list, HumanEval's test and entry_point), and `constraints`, a list such as
["no_commas", {"kind": "n_words", "at_most": 50}], or IFEval's columns. An unknown kind lists the valid ones.

The base gets plain prompts, the instruct models their chat template or --chat_template. Rows of `prompt` and
`completion` as texts are given to all models unchanged. A second baseline is the base after --base_few_shot examples
of the training split, the same for all prompts (greedy answers only). Each prompt is answered greedily and
with --num_samples seeded samples. A --prompt is answered and shown first; no metric counts it. --general (text) and
--capability (rows of `good` and `bad`, or of `question`, `context` or `prompt` with `choices` and `answer`, an index
from 0 or a letter) measure forgetting; --training_rows measures memorization. Generated code is parsed; it is run only
with --run_code, in a sandbox. An OpenAI-compatible --judge_url compares answers in both orders. The records of
--perplexity and --benchmark are added to the report.

With --engine URL an OpenAI-compatible server (llama.cpp, vLLM, `transformers serve`) answers for the instruct models,
with --engine base=URL for the base, 16 requests at a time. A served model is not loaded, and what needs the likelihood
of given text is left out for it.

Output, in --output: responses.jsonl (every prompt with all answers and their checks), comparison.json (every metric of
each model with its interval, paired differences with p-values, a summary), report.html, report.md, and copies of the
other programs' records. With `accelerate launch` several processes share the work. --resume continues an interrupted
call.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.command_line import run_program
from pipelines.evaluation.compare.flags import JUDGED_SO_FAR, comparison_flags, engines_for, prompts_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the records, then the report."""
    flags = comparison_flags(__doc__).parse_args(arguments)
    from pipelines.evaluation.code_execution.sandbox import RunLimits, refuse_unless_sandboxed, sandbox_description

    if flags.run_code:
        refuse_unless_sandboxed()
    prompts, engines = prompts_of(flags), engines_for(flags)
    from pipelines.evaluation.compare.comparison import comparison_of, further_measures
    from pipelines.evaluation.compare.inputs import attached_records, judge_of, plan_of, provenance_of
    from pipelines.evaluation.compare.measuring import measure_models
    from pipelines.evaluation.compare.responses import judge_responses, responses_of
    from pipelines.evaluation.compare.summary import comparison_table
    from pipelines.files import write_json_atomically, write_jsonl_atomically
    from pipelines.hub.pulling import local_copy
    from pipelines.inference.processes import is_main_process
    from pipelines.records.checkpoint import record_path
    from pipelines.report import write_report

    attached, judge = attached_records(flags), judge_of(flags)
    limits = RunLimits() if flags.run_code else None
    plan = plan_of(flags, prompts, engines)
    models, seconds = measure_models(flags.base, flags.instruct, prompts, plan)
    if not is_main_process():
        return
    start = time.perf_counter()
    responses = responses_of(prompts, models, run_code=limits)
    zero_shot = [model for model in models if model.few_shot is None]
    further, details = further_measures(prompts, zero_shot, plan.data)
    names, kept = [model.name for model in zero_shot], flags.output / JUDGED_SO_FAR
    judged = judge_responses(prompts, responses, names, judge, kept) if judge else None
    record = {
        **provenance_of(flags, plan, prompts, models),
        **comparison_of(prompts, models, responses, further, plan.few_shot),
        "details": details,
        "judge": judged,
        "run_code": {"limits": asdict(limits), "confinement": sandbox_description()} if limits else None,
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
    pages = write_report(flags.output, run_folder if record_path(run_folder, "run.json").is_file() else None)
    print(comparison_table(record))
    print(pages[0])


if __name__ == "__main__":
    run_program(main)
