"""Two texts that begin alike, quoted from where they part."""

from itertools import takewhile

from pipelines.preflight.checks.excerpts import head

_SHARED = 15  # characters of what both begin with that are shown before they part


def diff_excerpts(one: str, other: str, n_characters: int) -> tuple[str, str]:
    """Both texts on one line each, in quotation marks and at most `n_characters` long; equal texts from the start."""
    lines = [" ".join(text.split()) for text in (one, other)]
    n_shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*lines, strict=False)))
    start = n_shared - _SHARED if lines[0] != lines[1] and n_shared > n_characters - _SHARED else 0
    a, b = (f'"{"…" if start else ""}{head(line[start:], n_characters)}"' for line in lines)
    return a, b
