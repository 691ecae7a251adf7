"""The tokens of a chosen answer with their probabilities and what else was likely, in the form of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.files.visible_text import visible

MAX_TOKENS = 600
MAX_ALTERNATIVES = 5
MAX_TOKEN_CHARACTERS = 60
# A token below these probabilities is underlined once or twice: the places where the model was of two minds.
UNSURE, VERY_UNSURE = 0.5, 0.1


@dataclass(frozen=True)
class ShownToken:
    """One token: the white space that it begins with, which is not underlined, and the rest.

    `details` is for the page's script: token, probability, then those of each alternative, separated by tabs.
    """

    space: str
    text: str
    details: str
    certainty: str


def shown_tokens(tokens: Sequence[Mapping[str, Any]]) -> tuple[ShownToken, ...]:
    """The first `MAX_TOKENS` tokens. Raises KeyError, TypeError or ValueError where one is broken."""
    return tuple(_token(token) for token in tokens[:MAX_TOKENS])


def _token(record: Mapping[str, Any]) -> ShownToken:
    probability = float(record["probability"])
    if not 0 <= probability <= 1:
        raise ValueError(f"a probability of {probability}")
    alternatives = list(record.get("alternatives") or ())[:MAX_ALTERNATIVES]
    details = [_name(record["token"]), _percent(probability)]
    for one in alternatives:
        details += [_name(one["token"]), _percent(one["probability"])]
    shown = visible(str(record["token"])[:MAX_TOKEN_CHARACTERS]).replace("\n", "↵\n")
    text = shown.lstrip(" \t↵\n")
    return ShownToken(
        space=shown[: len(shown) - len(text)],
        text=text,
        details="\t".join(details),
        certainty="" if probability >= UNSURE else "unsure" if probability >= VERY_UNSURE else "guess",
    )


def _name(token: str) -> str:
    """A token on one line in which white space can be seen."""
    return visible(str(token)[:MAX_TOKEN_CHARACTERS]).replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣")


def _percent(probability: float) -> str:
    share = 100 * float(probability)
    return f"{share:.1f}%" if share >= 0.1 else "< 0.1%"
