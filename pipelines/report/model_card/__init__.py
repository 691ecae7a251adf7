"""Records -> README.md of a model on the Hub: metadata, loading, results, data, cost, limits.

    from pipelines.report.model_card import model_card
    text = model_card(Path("runs/my-instruct"), comparison_folder=Path("runs/comparison"), repo_id="me/my-instruct")

A missing record is stated as missing. Absolute paths are shortened to their last part.
"""

from pipelines.report.model_card.writing import model_card, write_card
