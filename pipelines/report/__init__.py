"""Records -> `report.html` (one self-contained file), `report.md` (for a pull request) and the model card.

    from pipelines.report import write_report
    write_report(Path("runs/quickstart/compare"), run_folder=Path("runs/quickstart/sft"))

Input: the records of compare.py (comparison.json, responses.jsonl, perplexity.json, benchmark.json) and of the run. All
but the first two may be missing. The output is a pure function of these files: no model is loaded, torch is not
imported, and no figure is computed here except the difference of each single prompt.

The templates escape everything (autoescape), the page's policy (CSP) allows its own script only, and text of models and
rows goes through `visible_text` first.
"""

from pipelines.report.doctor.doctor_page import write_diagnosis_page
from pipelines.report.writing import write_report
