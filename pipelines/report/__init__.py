"""Records -> a page that a person reads: `report.html` (one self-contained file) and `report.md` (for a pull request).

    from pipelines.report import write_report
    write_report(Path("runs/quickstart/compare"), run_folder=Path("runs/quickstart/sft"))

What goes in: `comparison.json` and `responses.jsonl` of the comparison folder, `perplexity.json` and `benchmark.json`
beside them, and from the run folder `run.json`, `lock.json`, `trainer_state.json`, `ledger.json`, `samples.jsonl` and
`row_losses.parquet`, with the texts of the rows that the last names. All but the first two may be missing: their
section is left out. What comes out is a pure function of those files: no model is loaded, torch is not imported, no
clock is read, no verdict is made, and no figure is computed here that a record does not hold, but for the difference of
each single prompt.

    reading             files -> records, broken ones refused in one line
    comparison_record   comparison.json -> typed values
    figures             numbers as they are printed: 93.9%, 0.982 [0.958, 1.006], 3 min 20 s
    visible_text        model output made safe to look at: control characters, long answers, Markdown
    opening             the record's lines on form, correctness and what was lost
    measures            the table of metrics: a column for each model, differences drawn around zero
    paired_chart        the difference of each prompt, sorted
    tables              likelihoods, benchmarks, judge, categories and overlaps as tables
    charts              scales, ticks and the curves of a training
    token_charts        likelihood by position, reliability of probabilities
    answers             prompts with all answers, and what fits on one page
    badges              checks of an answer in words
    answer_diff         what differs between two answers
    answer_tokens       tokens with their probabilities
    filters             what the prompts can be filtered by
    training_samples    what the model answered as training went on
    row_losses          the training rows of highest loss
    provenance          what was run: models, recipe, versions, machine, data, ledger, lock
    writing             Jinja templates -> files
    rendering           how every page here uses Jinja
    findings            what the doctor found, in this page and in its own
    examinations        the doctor before the run, what the run did after it
    diagnosis_page      the doctor's own page: findings, and rows token by token
    model_card/         README.md of a run and of a model on the Hub, with its metadata

The templates are in `templates/`: autoescape is on, the page's policy (CSP) lets only the page's own script run, and
everything a model wrote goes through `visible_text` first.
"""

from pipelines.report.doctor.doctor_page import write_diagnosis_page
from pipelines.report.writing import write_report

__all__ = ["write_diagnosis_page", "write_report"]
