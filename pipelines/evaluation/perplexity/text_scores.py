"""log p of texts: token by token in a table or a file, ranked, as a record; pairs of a good and a bad text."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from data_prep.dataset_folder import read_rows
from pipelines.errors import UserError
from pipelines.evaluation.likelihood.likelihood import TokenLogProbability, condition_token, token_log_probabilities
from pipelines.evaluation.statistics.row_groups import group_of, labels_of
from pipelines.evaluation.statistics.shares import share
from pipelines.files import read_text
from pipelines.inference.processes import measured_by_all
from pipelines.modeling import LoadedModel
from pipelines.records import versions


class Length(StrEnum):
    """The divisor of a text's log p before texts are compared: none, its scored tokens or their bytes."""

    TOTAL = "total"
    TOKEN = "per_token"
    BYTE = "per_byte"


@dataclass(frozen=True)
class TextScore:
    """A text and its tokens; a first token without a condition has no log probability and does not count."""

    text: str
    tokens: tuple[TokenLogProbability, ...]

    @property
    def log_prob(self) -> float:
        """log p of the text in nats: the sum over its scored tokens."""
        return math.fsum(token.log_prob for token in self.tokens if token.log_prob is not None)

    @property
    def n_tokens(self) -> int:
        """Scored tokens."""
        return sum(token.log_prob is not None for token in self.tokens)

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of the scored tokens."""
        return sum(token.end_byte - token.begin_byte for token in self.tokens if token.log_prob is not None)

    @property
    def bits_per_byte(self) -> float:
        """-log2 p of the text for each of its bytes."""
        return -self.log_prob / (math.log(2) * self.n_bytes)

    def log_prob_by(self, length: Length) -> float:
        """log p in nats, of the whole text or per token or byte."""
        return self.log_prob / {Length.TOTAL: 1, Length.TOKEN: self.n_tokens, Length.BYTE: self.n_bytes}[length]

    def token_rows(self, number: int) -> Iterator[dict[str, Any]]:
        """A row for each token: the number of the text and of the token, its figures, and log p so far as `sum`."""
        total = 0.0
        for place, token in enumerate(self.tokens, start=1):
            total += token.log_prob or 0.0
            p = None if token.log_prob is None else math.exp(token.log_prob)
            yield {"text": number, "place": place, **asdict(token), "p": p, "sum": total}

    def to_json(self) -> dict[str, Any]:
        """The text's entry in the record."""
        names = ("text", "log_prob", "n_tokens", "n_bytes", "bits_per_byte")
        return {**{name: getattr(self, name) for name in names}, "tokens": [asdict(token) for token in self.tokens]}


def given_texts(texts: Sequence[str] | None, file: Path | None) -> list[str]:
    """Return `texts`, or the lines of `file` that are not blank. Raises `UserError` for none, or an empty one."""
    lines = [] if file is None else [line.rstrip("\r") for line in read_text(file).split("\n")]
    found = list(texts or []) if file is None else [line for line in lines if line.strip()]
    if not found or not all(found):
        problem = "a --text is empty" if file is None else f"{file} has no text"
        raise UserError(problem, "write one text after each --text, or one on each line of --file")
    return found


def score_texts(loaded: LoadedModel, texts: Sequence[str], *, batch_size: int | None = None) -> list[TextScore]:
    """Score the texts under the model; equal texts have equal scores, to the last bit. Raises `UserError` if no token
    of a text can be scored."""
    distinct = list(dict.fromkeys(texts))  # two equal texts in different batches would differ by rounding
    tables = token_log_probabilities(loaded, distinct, batch_size=batch_size, measured_by=measured_by_all)
    scores = {text: TextScore(text, tuple(tokens)) for text, tokens in zip(distinct, tables, strict=True)}
    for score in scores.values():
        if score.n_tokens == 0:
            problem = f"{score.text!r} is a single token, which needs a BOS or EOS in the tokenizer of {loaded.path}"
            raise UserError(problem, "give a longer text")
    return [scores[text] for text in texts]


def ranking(scores: Sequence[TextScore]) -> list[int]:
    """Numbers of the texts from the most to the least probable, by total log p. Raises as `refuse_partly_scored`."""
    refuse_partly_scored(scores)
    return sorted(range(len(scores)), key=lambda number: -scores[number].log_prob)


def refuse_partly_scored(scores: Sequence[TextScore]) -> None:
    """Raise `UserError` for several texts whose first tokens could not be scored: their totals are incomplete."""
    if len(scores) > 1 and any(token.log_prob is None for score in scores for token in score.tokens):
        problem = "the tokenizer has no BOS or EOS token, so the first token of each text has no probability"
        raise UserError(problem, "set bos_token in its tokenizer_config.json, or score one --text at a time")


def token_file(scores: Sequence[TextScore], suffix: str) -> str:
    """The tables of all texts as one file, a row for each token: CSV with a header for ".csv", else JSON lines."""
    rows = [row for number, score in enumerate(scores, start=1) for row in score.token_rows(number)]
    if suffix == ".csv":
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def scores_table(score: TextScore) -> str:
    """A line for each token: the token, its log p and p, and log p of the text so far."""
    width = max(len("token"), *(len(repr(token.token)) for token in score.tokens))
    lines = [f"{'token'.ljust(width)}  {'log p':>10}  {'p':>10}  {'sum':>10}"]
    for row in score.token_rows(0):
        figures = f"{'-':>10}  {'-':>10}" if row["p"] is None else f"{row['log_prob']:10.4f}  {row['p']:10.3g}"
        lines.append(f"{repr(row['token']).ljust(width)}  {figures}  {row['sum']:10.4f}")
    return "\n".join(lines)


def score_record(loaded: LoadedModel, content: Mapping[str, Any]) -> dict[str, Any]:
    """The record: the model, the token that a text's first token was conditioned on, and `content`."""
    model = {name: getattr(loaded, name) for name in ("path", "fingerprint", "computed_in")}
    condition = {"token": condition_token(loaded.tokenizer)}
    return {"kind": "score", "model": model, "condition": condition, "versions": versions(), **content}


Both: TypeAlias = tuple[TextScore, TextScore]


@dataclass(frozen=True)
class Pair:
    """Two texts of which the good one should be more likely; pairs of one `group` depend on each other."""

    good: str
    bad: str
    category: str | None = None
    group: str | None = None


def given_pairs(file: Path) -> list[Pair]:
    """Read the rows of `file` with their texts `good` and `bad` and an optional `category`. Raises `UserError` for a
    row without both texts."""
    pairs = []
    for number, row in enumerate(read_rows(file), start=1):
        texts = [row.get(column) for column in ("good", "bad")]
        if not all(isinstance(text, str) and text for text in texts):
            columns = f"the columns {', '.join(column for column, value in row.items() if value) or '(none)'}"
            problem = f"row {number} of {file} has {columns}, expected the texts `good` and `bad`"
            raise UserError(problem, 'write each pair as {"good": ..., "bad": ...}')
        category = row.get("category")
        pairs.append(Pair(str(texts[0]), str(texts[1]), None if category is None else str(category), group_of(row)))
    return pairs


def pair_shares(pairs: Sequence[Pair], scores: Sequence[TextScore]) -> dict[str, Any]:
    """For each `Length` the share of pairs whose good text is more likely, with Wilson's interval (whole groups where
    rows have a `group`); then by category.

    `scores` are those of the good and the bad text of each pair, in turn. A tie counts as wrong. Minimal pairs: A.
    Warstadt et al., BLiMP (TACL 8, 2020), which compares totals. Raises as `refuse_partly_scored`.
    """
    refuse_partly_scored(scores)
    scored = list(zip(pairs, zip(scores[::2], scores[1::2], strict=True), strict=True))
    by_category: dict[str, list[tuple[Pair, Both]]] = {}
    for pair, both in scored:
        if pair.category is not None:
            by_category.setdefault(pair.category, []).append((pair, both))
    categories = {category: _shares(some) for category, some in sorted(by_category.items())}
    return {"n_pairs": len(pairs), **_shares(scored), "categories": categories}


def pairs_json(pairs: Sequence[Pair], scores: Sequence[TextScore]) -> list[dict[str, Any]]:
    """The pairs in the record: both texts' scores, and whether the good one is more likely by each `Length`."""
    return [
        {
            "category": pair.category,
            "good_is_likelier": {length.value: _good_is_likelier((good, bad), length) for length in Length},
            "good": good.to_json(),
            "bad": bad.to_json(),
        }
        for pair, (good, bad) in zip(pairs, zip(scores[::2], scores[1::2], strict=True), strict=True)
    ]


def shares_table(shares: Mapping[str, Any]) -> str:
    """A line for all pairs and one for each category: how often the good text is more likely."""
    rows = [("pairs", "n", *(f"good more likely, {length.value.replace('_', ' ')}" for length in Length))]
    for name, found in {"(all)": shares, **shares["categories"]}.items():
        figures = [found[length.value] for length in Length]
        cells = [f"{one['value']:.1%} [{one['ci95'][0]:.1%}, {one['ci95'][1]:.1%}]" for one in figures]
        rows.append((name, f"{figures[0]['n']:,}", *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _good_is_likelier(both: Both, length: Length) -> bool:
    good, bad = both
    return good.log_prob_by(length) > bad.log_prob_by(length)


def _shares(scored: Sequence[tuple[Pair, Both]]) -> dict[str, Any]:
    groups = labels_of([pair.group for pair, _ in scored])
    flags = {length: [_good_is_likelier(both, length) for _, both in scored] for length in Length}
    return {length.value: share(found, groups).to_json() for length, found in flags.items()}
