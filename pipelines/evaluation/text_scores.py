"""log p of single texts for a person to read: token by token, in a table, ranked."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.evaluation.likelihood import TokenLogProbability, token_log_probabilities
from pipelines.files import read_text
from pipelines.modeling import LoadedModel


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


def score_text(loaded: LoadedModel, text: str) -> TextScore:
    """The text's score under the model. Raises `UserError` if no token of it can be scored."""
    score = TextScore(text, tuple(token_log_probabilities(loaded, text)))
    if score.n_tokens == 0:
        raise UserError(
            expected=f"a token to score in {text!r}",
            got=f"one token, and a tokenizer without BOS and EOS in {loaded.path}",
            remedy="give a longer text",
        )
    return score


def ranking(scores: Sequence[TextScore]) -> list[int]:
    """Numbers of the texts from the most to the least probable, by total log p.

    Raises `UserError` for several texts whose first tokens could not be scored: their totals leave out different text.
    """
    if len(scores) > 1 and any(token.log_prob is None for score in scores for token in score.tokens):
        raise UserError(
            expected="a tokenizer with a BOS or EOS token, to rank whole texts",
            got="neither, so that the first token of each text has no probability",
            remedy="set bos_token in its tokenizer_config.json, or score one --text at a time",
        )
    return sorted(range(len(scores)), key=lambda number: -scores[number].log_prob)


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
