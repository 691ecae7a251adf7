"""Records -> a page that a person reads: `report.html` (one self-contained file) and `report.md` (for a pull request).

    from pipelines.report import write_report
    write_report(Path("runs/quickstart/compare"), run_folder=Path("runs/quickstart/sft"))

What goes in: `comparison.json` and `responses.jsonl` of the comparison folder, `perplexity.json` beside them, and from
the run folder `run.json`, `trainer_state.json` and `ledger.json`. The last four may be missing: their section is left
out. What comes out is a pure function of those files: no model is loaded, torch is not imported, no clock is read, and
no figure is computed here that a record does not hold.

    reading         records -> typed values, broken ones refused in one line
    figures         numbers as they are printed: 93.9%, 0.982 [0.958, 1.006], 3 min 20 s
    visible_text    model output made safe to look at: control characters, long answers, Markdown
    verdicts        an interval -> better / worse / no difference shown, and the opening sentence
    measures        the table of metrics with its bars
    charts          scales, ticks and the loss curve
    likelihoods     perplexity.json as tables
    answers         prompts with all answers, their badges, and what fits on one page
    provenance      what was run: recipe, versions, machine, data, ledger
    writing         Jinja templates -> files

The templates are in `templates/`: autoescape is on, the page's policy (CSP) lets only the page's own script run, and
everything a model wrote goes through `visible_text` first.
"""

from pipelines.report.writing import write_report

__all__ = ["write_report"]
