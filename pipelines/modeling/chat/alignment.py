"""Find where the answer begins in a rendered conversation, after the served prompt."""

import re
from collections.abc import Sequence
from typing import Any

# An empty thought: templates write it into the prompt to turn thinking off, and omit it in the finished turn.
_MARK = r"[<\[][^<>\[\]\s]{0,12}(?:think|thought)[^<>\[\]\s]{0,10}[>\]]"
_EMPTY_THOUGHT = re.compile(rf"(?:<\|channel>thought|{_MARK})\s*(<channel\|>\s*|{_MARK}\s*)\Z", re.IGNORECASE)
_OPEN_THOUGHT = re.compile(rf"\s*(?:<\|channel>thought|{_MARK})", re.IGNORECASE)


def text_after(prompt: str, whole: str) -> str | None:
    """The text of `whole` after `prompt`, None if `whole` does not start with it.

    An empty thought at the end of `prompt` may be missing in `whole`, or reduced to its closing mark; another thought
    in its place is refused, because no model writes a second one. If they differ only in white space (templates over
    several lines), the answer begins at its first other character.
    """
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    thought = _EMPTY_THOUGHT.search(prompt)
    if thought is not None and whole.startswith(prompt[: thought.start()]):
        after = whole[thought.start() :].removeprefix(thought.group(1))
        if not _OPEN_THOUGHT.match(after):
            return after
    n_characters = len("".join(prompt.split()))
    spelled = [place for place, character in enumerate(whole) if not character.isspace()]
    if "".join(prompt.split()) != "".join(whole.split())[:n_characters] or len(spelled) <= n_characters:
        return None
    return whole[spelled[n_characters] :]


def n_equal(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The number of equal items at the beginning of two sequences."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def first_difference(prompt: str, whole: str) -> str:
    """Excerpts of `prompt` and `whole` at their first difference, for a reason."""
    place = n_equal(prompt, whole)
    return f"{prompt[place:][:40]!r} in the prompt, {whole[place:][:40]!r} in the finished turn"
