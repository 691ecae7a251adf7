"""log p of texts: token by token in a table or a file; ranked; the record of it."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.likelihood import TokenLogProbability, condition_token, token_log_probabilities
from pipelines.files import read_text
from pipelines.inference.log_probabilities import MeasuredBy, measured_here
from pipelines.modeling import LoadedModel
from pipelines.records import versions


class Length(StrEnum):
    """What log p of a text is divided by before texts are compared: nothing, its scored tokens or their bytes."""

    TOTAL = "total"
    TOKEN = "per_token"
    BYTE = "per_byte"


@dataclass(frozen=True)
class TextScore:
    """A text and its tokens; a token without a condition before it has no log probability and counts nowhere."""

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
        """log p in nats, of the whole text or for each token or byte of it."""
        return self.log_prob / {Length.TOTAL: 1, Length.TOKEN: self.n_tokens, Length.BYTE: self.n_bytes}[length]

    def token_rows(self, number: int) -> Iterator[dict[str, Any]]:
        """A row for each token: the text's number, the token's, and its figures; `sum` is log p of the text so far."""
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
    """`texts`, or the lines of `file` that are not blank. Raises `UserError` if there is none, or an empty one."""
    lines = [] if file is None else [line.rstrip("\r") for line in read_text(file).split("\n")]
    found = list(texts or []) if file is None else [line for line in lines if line.strip()]
    if not found or not all(found):
        raise UserError(
            expected="texts that are not empty",
            got="an empty --text" if file is None else f"no text in {file}",
            remedy="write one text after each --text, or one on each line of --file",
        )
    return found


def refuse_other_suffix(output: Path) -> None:
    """Raise `UserError` unless `output` says which form it is to have."""
    if output.suffix not in (".json", ".csv", ".jsonl"):
        raise UserError(
            expected="an --output that ends in .json, .csv or .jsonl", got=str(output), remedy="choose one of them"
        )


def score_texts(
    loaded: LoadedModel, texts: Sequence[str], *, batch_size: int = 8, measured_by: MeasuredBy = measured_here
) -> list[TextScore]:
    """The scores of the texts under the model; equal texts have equal scores, to the last bit.

    Raises `UserError` if no token of a text can be scored.
    """
    distinct = list(dict.fromkeys(texts))  # in batches of their own two equal texts would differ by rounding
    tables = token_log_probabilities(loaded, distinct, batch_size=batch_size, measured_by=measured_by)
    scores = {text: TextScore(text, tuple(tokens)) for text, tokens in zip(distinct, tables, strict=True)}
    for score in scores.values():
        if score.n_tokens == 0:
            raise UserError(
                expected=f"a token to score in {score.text!r}",
                got=f"one token, and a tokenizer without BOS and EOS in {loaded.path}",
                remedy="give a longer text",
            )
    return [scores[text] for text in texts]


def ranking(scores: Sequence[TextScore]) -> list[int]:
    """Numbers of the texts from the most to the least probable, by total log p. Raises as `refuse_partly_scored`."""
    refuse_partly_scored(scores)
    return sorted(range(len(scores)), key=lambda number: -scores[number].log_prob)


def refuse_partly_scored(scores: Sequence[TextScore]) -> None:
    """Raise `UserError` for several texts whose first tokens could not be scored: their totals leave out text."""
    if len(scores) > 1 and any(token.log_prob is None for score in scores for token in score.tokens):
        raise UserError(
            expected="a tokenizer with a BOS or EOS token, to rank whole texts",
            got="neither, so that the first token of each text has no probability",
            remedy="set bos_token in its tokenizer_config.json, or score one --text at a time",
        )


def token_file(scores: Sequence[TextScore], suffix: str) -> str:
    """The tables of all texts as one file, a row for each token: CSV with a head for ".csv", else JSON lines."""
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
    total = 0.0
    for token in score.tokens:
        if token.log_prob is None:
            lines.append(f"{repr(token.token).ljust(width)}  {'-':>10}  {'-':>10}  {total:10.4f}")
            continue
        total += token.log_prob
        figures = f"{token.log_prob:10.4f}  {math.exp(token.log_prob):10.3g}  {total:10.4f}"
        lines.append(f"{repr(token.token).ljust(width)}  {figures}")
    return "\n".join(lines)


def ranking_line(place: int, score: TextScore) -> str:
    """A text's place in the ranking with its total and averages."""
    return (
        f"{place}. log p {score.log_prob:.4f}, {score.log_prob_by(Length.TOKEN):.4f} a token, "
        f"{score.bits_per_byte:.4f} bits per byte: {score.text!r}"
    )


def score_record(loaded: LoadedModel, content: Mapping[str, Any]) -> dict[str, Any]:
    """The record: which model, what a text's first token was conditioned on, and `content`."""
    return {
        "kind": "score",
        "model": {"path": loaded.path, "fingerprint": loaded.fingerprint, "computed_in": loaded.computed_in},
        "condition": {"token": condition_token(loaded.tokenizer)},
        "versions": versions(),
        **content,
    }
