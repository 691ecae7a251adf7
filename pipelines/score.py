r"""Score texts by log-probability, token by token; rank several texts, or compare pairs.

    python pipelines/score.py --model_name_or_path recipes/quickstart/base --text "def add(a, b):" --text "def add a b"

    python pipelines/score.py --model_name_or_path BASE --adapter ADAPTER --pairs pairs.jsonl --output scores.json

Input: a model or adapter (folder, org/name or org/name@revision), with --adapter an adapter on it, and texts: --text
(repeatable), --file with one text per line, or --pairs with rows of `good` and `bad` (and optionally `category`).
Output: for each text a table of its tokens with log p (natural logarithm), p and the running sum, then the ranking by
total log p (a shorter text has an advantage, so the averages per token and byte are shown too); for pairs the share in
which the good text is more likely, by total and by the averages. --output FILE.json writes everything, tables included,
instead of printing the tables; FILE.csv or FILE.jsonl gets the tables alone, a row for each token.

The first token is conditioned on the token that begins a document (BOS, else <|endoftext|>, else EOS), which is not
scored itself. For --text, weights are loaded in float64, so totals are exact to the last digit shown; --file and
--pairs use the saved type (--dtype auto). Nothing here is random: --seed is accepted as in every program and changes
nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.command_line import ArgumentParser, add_dtype, positive_number, run_program
from pipelines.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Score, print the tables and the ranking or the shares, write the record."""
    options = _parser().parse_args(arguments)
    from pipelines.files import (
        refuse_existing,
        refuse_missing,
        refuse_unwritable,
        write_json_atomically,
        write_text_atomically,
    )
    from pipelines.hub.model_ref import resolve_model

    if options.output:
        refuse_existing(options.output)
        refuse_unwritable(options.output.parent)
    refuse_missing(file=options.file, pairs=options.pairs)
    model = resolve_model(options.model_name_or_path, options.adapter)
    from pipelines.evaluation.perplexity import text_scores
    from pipelines.inference.loading import load_for_inference
    from pipelines.inference.processes import is_main_process

    if options.output and options.output.suffix not in (".json", ".csv", ".jsonl"):
        problem = f"--output is {options.output}, expected .json, .csv or .jsonl at the end"
        raise UserError(problem, "use one of them")
    pairs = text_scores.given_pairs(options.pairs) if options.pairs else []
    in_pairs = [text for pair in pairs for text in (pair.good, pair.bad)]
    texts = in_pairs or text_scores.given_texts(options.text, options.file)
    dtype = options.dtype or ("float64" if options.text else "auto")
    loaded = load_for_inference(model, dtype=dtype)
    scores = text_scores.score_texts(loaded, texts, batch_size=options.batch_size)
    if not is_main_process():
        return
    content: dict[str, Any]
    if pairs:
        content = {"shares": text_scores.pair_shares(pairs, scores), "pairs": text_scores.pairs_json(pairs, scores)}
        print(text_scores.shares_table(content["shares"]))
    else:
        content = {"texts": [score.to_json() for score in scores], "ranking": text_scores.ranking(scores)}
        for score in [] if options.output else scores:
            print(f"{score.text!r}\n{text_scores.scores_table(score)}\n")
        for place, n in enumerate(content["ranking"], start=1):
            averages = f"{scores[n].log_prob_by(text_scores.Length.TOKEN):.4f} per token, {scores[n].bits_per_byte:.4f}"
            print(f"{place}. log p {scores[n].log_prob:.4f}, {averages} bits per byte: {scores[n].text!r}")
    if options.output:
        if options.output.suffix in (".csv", ".jsonl"):
            write_text_atomically(options.output, text_scores.token_file(scores, options.output.suffix))
        else:
            write_json_atomically(options.output, text_scores.score_record(loaded, content))
        print(f"written to {options.output}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--model_name_or_path", required=True, metavar="MODEL", help="folder, org/name or org/name@revision")
    add("--adapter", help="adapter for that model: folder or Hub id")
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument("--text", action="append", help="text to score; repeatable")
    texts.add_argument("--file", type=Path, help="file with one text per line")
    texts.add_argument("--pairs", type=Path, metavar="FILE", help="rows of good and bad (JSONL, JSON, CSV or Parquet)")
    add_dtype(parser, "float64", default=None, otherwise="float64 with --text, else auto")
    add("--batch_size", type=positive_number, metavar="N", help="most texts at a time (default: by their length)")
    add("--seed", type=int, default=0, help="no effect: nothing here is random")
    add("--output", type=Path, metavar="FILE", help="FILE.json for the record, .csv or .jsonl for the tokens")
    return parser


if __name__ == "__main__":
    run_program(main)
