r"""Put the same prompts to a base and to instruct models, and report by how much they differ, with 95% intervals.

    python pipelines/compare.py --base recipes/quickstart/base --instruct runs/my-instruct \
        --prompts build/instructions --prompt "Write a Python function find_max(numbers)" --output runs/comparison

In: a base (folder or Hub id), one or more instruct models or adapters of that base, and held-out prompts: the test
split of a dataset folder, or a file of rows with `instruction` (and `input`, `output` as the reference, `category`) or
`prompt`. The base gets plain prompts, the instruct models their chat template. Each prompt is answered greedily and by
--num_samples seeded samples. A --prompt is answered and shown first; no figure counts it.

Out, in --output: responses.jsonl (every prompt with all answers and their checks), comparison.json (for each model
every metric with its interval, and the paired differences), report.html and report.md. Generated code is parsed, never
run.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.command_line import ArgumentParser, run_program


def parser() -> argparse.ArgumentParser:
    """The program's flags."""
    flags = ArgumentParser(__doc__)
    flags.add_argument("--base", required=True, metavar="M", help="base model: folder or Hub id")
    flags.add_argument(
        "--instruct", required=True, action="append", metavar="M", help="model or adapter; again for more"
    )
    flags.add_argument("--prompts", required=True, type=Path, metavar="F", help="dataset folder, or file of prompts")
    flags.add_argument("--split", default="test", help="split of a dataset folder (default test)")
    flags.add_argument(
        "--prompt", action="append", default=[], metavar="P", help="one more prompt, shown and not counted"
    )
    flags.add_argument("--limit", type=int, metavar="N", help="measure N prompts, drawn with --seed (default all)")
    flags.add_argument("--max_new_tokens", type=int, default=256, help="token limit of an answer (default 256)")
    flags.add_argument("--num_samples", type=int, default=2, help="samples of each prompt, 0 for none (default 2)")
    flags.add_argument("--temperature", type=float, default=0.7, help="of the samples (default 0.7)")
    flags.add_argument("--top_p", type=float, default=0.95, help="of the samples (default 0.95)")
    flags.add_argument("--batch_size", type=int, default=32, help="answers generated together (default 32)")
    flags.add_argument("--seed", type=int, default=0, help="seed of the samples and of --limit (default 0)")
    flags.add_argument("--perplexity", type=Path, metavar="FILE", help="perplexity.json to show in the report too")
    flags.add_argument("--output", required=True, type=Path, metavar="DIR", help="new or empty folder")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the records, then the report."""
    flags = parser().parse_args(arguments)
    from pipelines.files import refuse_existing, write_json_atomically, write_jsonl_atomically
    from pipelines.records import describe_machine, read_record, versions

    refuse_existing(flags.output)
    perplexity = read_record(flags.perplexity) if flags.perplexity else None
    from pipelines.evaluation.comparison import comparison_of, responses_of
    from pipelines.evaluation.comparison_table import comparison_table
    from pipelines.evaluation.measuring import DecodingPlan, measure_models
    from pipelines.evaluation.prompts import describe_prompts, held_out_prompts, typed_prompts
    from pipelines.report import write_report

    plan = DecodingPlan(flags.max_new_tokens, flags.num_samples, flags.temperature, flags.top_p, flags.seed)
    prompts = typed_prompts(flags.prompt)
    prompts += held_out_prompts(flags.prompts, flags.split, limit=flags.limit, seed=flags.seed, first_id=len(prompts))
    models, seconds = measure_models(flags.base, flags.instruct, prompts, plan, batch_size=flags.batch_size)
    start = time.perf_counter()
    responses = responses_of(prompts, models)
    measured = comparison_of(prompts, models, responses)
    record = {
        "kind": "comparison",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": describe_machine(),
        "prompts": describe_prompts(flags.prompts, flags.split, prompts),
        "decoding": plan.to_json(),
        **measured,
        "seconds": {**seconds, "statistics": round(time.perf_counter() - start, 3)},
    }
    write_jsonl_atomically(flags.output / "responses.jsonl", responses)
    if perplexity is not None:
        write_json_atomically(flags.output / "perplexity.json", perplexity)
    write_json_atomically(flags.output / "comparison.json", record)
    run_folder = Path(flags.instruct[0])
    pages = write_report(flags.output, run_folder if (run_folder / "run.json").is_file() else None)
    print(comparison_table(record))
    print(pages[0])


if __name__ == "__main__":
    run_program(main)
