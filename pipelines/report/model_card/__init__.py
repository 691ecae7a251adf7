"""Records -> README.md of a model on the Hub: metadata, loading, results, data, cost, limits. Nothing by hand.

    from pipelines.report.model_card import model_card
    text = model_card(Path("runs/my-instruct"), comparison_folder=Path("runs/comparison"), repo_id="me/my-instruct")

What goes in is what the report takes (see `pipelines.report`), with `adapter_config.json` of the run folder and
`manifest.json` of the dataset folder. A record that is missing is told as missing. Absolute paths are cut to their last
part: a card tells nobody where a home folder is.

    card_records    files -> what a card is made from; the run's own model in a comparison
    metadata        the YAML at the top, in huggingface_hub's own classes
    identity        what the model is: its name, its base, how it was trained
    loading         the snippet that loads it
    data            splits, rejects, sources with their licenses, the ledger
    licenses        the license to propose, by base and data
    training        the curve, and what it cost
    held_out        what the run measured itself on rows held out
    limits          what got worse, what nobody measured
    shown           texts, paths and tables as a card shows them
    writing         template -> text
"""

from pipelines.report.model_card.writing import model_card, write_card

__all__ = ["model_card", "write_card"]
