"""Next-token probabilities as tables for the page: HTML in which everything a model wrote is escaped."""

import html
from collections.abc import Iterator, Sequence

from pipelines.inference.generation import TokenChoice

NONE_YET = "<p>Press Generate to see them.</p>"

# Gradio fills its HTML components by templates of its own, so what they would read as a place to fill is escaped too.
_TEMPLATE_MARKS = {ord(character): f"&#{ord(character)};" for character in "${}`"}


def token_table(name: str, choices: Sequence[TokenChoice]) -> str:
    """Return one row for each generated token: number, token, probability, and the strongest alternatives."""
    rows = [
        f"<td>{number}</td>{_token(one.token)}{_probability(one.probability)}"
        f"<td>{' · '.join(f'{_code(token)} {value:.4f}' for token, value in one.alternatives)}</td>"
        for number, one in enumerate(choices, start=1)
    ]
    return _table(f"Tokens of the {name} model", ("", "token", "probability", "alternatives"), rows)


def first_token_table(base: Sequence[TokenChoice], instruct: Sequence[TokenChoice]) -> str:
    """Return each model's most probable first tokens; an arrow marks the chosen one."""
    columns = [list(_ranked(choices)) for choices in (base, instruct)]
    length = max(map(len, columns))
    left, right = (column + ["<td></td><td></td>"] * (length - len(column)) for column in columns)
    headers = ("base", "probability", "instruct", "probability")
    rows = [f"{one}{other}" for one, other in zip(left, right, strict=True)]
    return _table("First token: the most probable ones (← the chosen one)", headers, rows)


def quoted(token: str) -> str:
    """Return a token as Python quotes it, so that spaces, line breaks and invisible characters show."""
    return repr(token)


def _ranked(choices: Sequence[TokenChoice]) -> Iterator[str]:
    for first in choices[:1]:
        tokens = [(first.token, first.probability, " ←"), *((*rival, "") for rival in first.alternatives)]
        for token, probability, mark in sorted(tokens, key=lambda one: one[1], reverse=True):
            yield _token(token, mark) + _probability(probability)


def _table(caption: str, headers: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{header}</th>' for header in headers)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    # A box that scrolls must be reachable by keyboard.
    return (
        f'<div class="tokens" tabindex="0" role="region" aria-label="{caption}"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _token(token: str, mark: str = "") -> str:
    return f"<td>{_code(token)}{mark}</td>"


def _code(token: str) -> str:
    return f"<code>{html.escape(quoted(token)).translate(_TEMPLATE_MARKS)}</code>"


def _probability(value: float) -> str:
    return f'<td class="probability" style="--share: {value:.2%}">{value:.4f}</td>'
