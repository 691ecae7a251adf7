r"""Check a recipe and its rows before a run: errors that would ruin it, warnings, and how to fix them.

    python pipelines/doctor.py --config recipes/quickstart/sft/lora.yaml

    python pipelines/doctor.py --config RECIPE --show_rows 3 --html doctor.html --forecast --learning_rate 1e-4

Input: a recipe of sft.py, dpo.py or pretrain.py (the program follows from its folder or keys, or --stage), and any of
its keys as --key value. No weights are loaded and no GPU is needed: the checks use the tokenizer, template, config and
at most 10,000 rows of each split (--all: every row). Output: findings with severity error, warning or note, each with
the evidence (row number, tokens and whether they are trained), why it matters, and what to write instead. The training
programs run the same checks before step 1 and stop at errors (--doctor error, warn or off).

Exit code 0: no errors. 1: errors found. 2: the checks could not run (no such recipe, dataset or base).
"""

import argparse
import atexit
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, positive_number, run_program

_ROWS_ON_PAGE = 3  # that --html shows without --show_rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Check a recipe and print the report."""
    flags, keys = _flags(arguments)
    from pipelines.recipe import ARGUMENTS, REQUIRED, Stage, checks_of, parse_leniently, stage_of, written_keys

    command_line = ["--config", str(flags.config), *keys]
    stage = Stage(flags.stage) if flags.stage else stage_of(flags.config, written_keys(command_line))
    recipe, faults = parse_leniently(ARGUMENTS[stage], command_line, checks_of(stage), REQUIRED[stage])
    from pipelines.errors import AnswerIsNo, UserError
    from pipelines.preflight.autofix import diff_of, fixes_of, write_fixed
    from pipelines.preflight.captured_errors import CapturedErrors, config_findings
    from pipelines.preflight.console.console_report import report_lines
    from pipelines.preflight.console.terminal import supports_color
    from pipelines.preflight.console.token_view import legend_line, row_lines, shown_rows
    from pipelines.preflight.context_builder import MAX_ROWS
    from pipelines.preflight.engines.comparison import CHECKS as ENGINE_CHECKS
    from pipelines.preflight.forecast.forecasting import forecast_lines
    from pipelines.preflight.run_checks import run_checks
    from pipelines.records.finding import Severity
    from pipelines.report import write_diagnosis_page
    from pipelines.training.dry_run import refuse_impossible_training

    further = ENGINE_CHECKS if flags.engines else ()
    refused = CapturedErrors()
    refused.call(lambda: refuse_impossible_training(recipe))
    n_rows, earlier = None if flags.all else MAX_ROWS, [*config_findings(faults), *refused.findings]
    found = run_checks(recipe, stage, max_rows=n_rows, earlier_findings=earlier, further_checks=further)
    rows = shown_rows(found.context, flags.show_rows or (_ROWS_ON_PAGE if flags.html else 0))
    forecast = forecast_lines(found.context) if flags.forecast else []
    fixes = fixes_of(found.findings)
    diff, not_fixed = "", None
    try:
        diff = diff_of(flags.config, fixes) if flags.fix and fixes else ""
    except UserError as error:  # raised after the findings are printed
        not_fixed = error
    record = {**found.to_json(), "recipe": str(flags.config), "shown_rows": [row.to_json() for row in rows]}
    if flags.json:
        print(json.dumps({**record, "forecast": forecast, "diff": diff}, ensure_ascii=True, default=str))
    else:
        color = supports_color(sys.stdout)
        lines = [line for row in rows for line in row_lines(row, color)] if flags.show_rows else []
        legend = [legend_line(color)] if lines else []
        print(*legend, *lines, *report_lines(found, color), *forecast, sep="\n")
        if flags.fix and not_fixed is None:
            print(diff or "no certain fixes for the recipe")
    if flags.html:
        write_diagnosis_page(flags.html, record)
    if flags.write and diff:
        write_fixed(flags.config, fixes)
    if not_fixed is not None:
        raise not_fixed
    errors = [finding.id for finding in found.of(Severity.ERROR)]
    if errors:
        written = f"; the fixes are written to {flags.config}" if flags.write and diff else ""
        raise AnswerIsNo(f"the doctor found errors ({', '.join(dict.fromkeys(errors))}){written}")


def _flags(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The doctor's own flags, and the recipe keys that are left."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the recipe")
    parser.add_argument("--stage", choices=["sft", "dpo", "pretrain"], help="the program of the recipe")
    parser.add_argument("--show_rows", type=positive_number, help="print this many rows token by token")
    parser.add_argument("--html", type=Path, help="write findings and rows as an HTML page")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument("--forecast", action="store_true", help="print the memory and time that the run needs")
    parser.add_argument("--engines", action="store_true", help="compare the template in other engines' Jinja")
    parser.add_argument("--fix", action="store_true", help="print the certain fixes as a diff of the recipe")
    parser.add_argument("--write", action="store_true", help="with --fix: write them into the recipe")
    parser.add_argument("--all", action="store_true", help="check every row")
    flags, keys = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    if flags.write and not flags.fix:
        parser.error("--write needs --fix")
    return flags, keys


if __name__ == "__main__":
    # garbage collection over millions of tokens would take a sixth of the time
    gc.disable()
    atexit.register(gc.freeze)
    run_program(main)
