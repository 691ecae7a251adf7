r"""log p of a text, token by token by the chain rule; several texts are ranked by it.

    python pipelines/score.py --model_name_or_path recipes/quickstart/base --text "def add(a, b):" --text "def add a b"

In: a model (folder or Hub id), with --adapter an adapter on it, and texts: --text again for more, or --file with one
text on each line. Out: for each text a table of its tokens with log p (natural logarithm), p and the sum so far; then
the ranking by total log p (so a shorter text has an advantage: averages for each token and byte stand beside it), and
with --output the same as JSON.

The first token is conditioned on the token that begins a document (BOS, else <|endoftext|>, else EOS), which is not
scored itself. Weights are loaded in float64, so that totals hold to the last digit shown; for a large model add
--dtype auto, which takes them as they were saved. Nothing here is random: --seed is taken as by every program, and
changes nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import ArgumentParser, run_program


def main(arguments: Sequence[str] | None = None) -> None:
    """Score, print the tables and the ranking, write the record."""
    options = _parser().parse_args(arguments)

    from pipelines.evaluation.model_choice import ModelChoice
    from pipelines.evaluation.text_scores import given_texts, ranking, score_text, scores_table
    from pipelines.files import refuse_existing, write_json_atomically
    from pipelines.records import versions

    if options.output:
        refuse_existing(options.output)
    texts = given_texts(options.text, options.file)
    loaded = ModelChoice(options.model_name_or_path, options.adapter).load(dtype=options.dtype)
    scores = [score_text(loaded, text) for text in texts]
    for score in scores:
        print(f"{score.text!r}\n{scores_table(score)}\n")
    for place, number in enumerate(ranking(scores), start=1):
        one = scores[number]
        print(
            f"{place}. log p {one.log_prob:.4f}, {one.log_prob / one.n_tokens:.4f} a token, "
            f"{one.bits_per_byte:.4f} bits per byte: {one.text!r}"
        )
    if options.output:
        record = {
            "kind": "score",
            "model": {"path": loaded.path, "fingerprint": loaded.fingerprint},
            "versions": versions(),
            "texts": [score.to_json() for score in scores],
            "ranking": ranking(scores),
        }
        write_json_atomically(options.output, record)
        print(f"record written to {options.output}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--model_name_or_path", required=True, metavar="MODEL", help="folder or Hub id")
    parser.add_argument("--adapter", help="adapter folder for that model")
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument("--text", action="append", help="again for more")
    texts.add_argument("--file", type=Path, help="one text on each line")
    parser.add_argument("--dtype", default="float64", choices=["float64", "float32", "auto"], help="default float64")
    parser.add_argument("--seed", type=int, default=0, help="changes nothing: nothing here is random")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where to write the record")
    return parser


if __name__ == "__main__":
    run_program(main)
