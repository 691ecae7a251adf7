"""Where the answer begins: what a template's whole conversation has after the prompt that is served."""

import re

# A thought that is open and closed with nothing in it: templates write it into the prompt to turn thinking off, and
# leave it out of the finished turn.
_MARK = r"[<\[][^<>\[\]\s]{0,12}(?:think|thought)[^<>\[\]\s]{0,10}[>\]]"
_EMPTY_THOUGHT = re.compile(rf"(?:<\|channel>thought|{_MARK})\s*(<channel\|>\s*|{_MARK}\s*)\Z", re.IGNORECASE)


def text_after(prompt: str, whole: str) -> str | None:
    """What `whole` has after `prompt`, None if it goes on otherwise.

    An empty thought at the end of `prompt` may be missing in `whole`, or only its closing mark may be there.
    """
    if whole.startswith(prompt):
        return whole[len(prompt) :]
    thought = _EMPTY_THOUGHT.search(prompt)
    if thought is None or not whole.startswith(prompt[: thought.start()]):
        return None
    return whole[thought.start() :].removeprefix(thought.group(1))


def first_difference(prompt: str, whole: str) -> str:
    """The end of `prompt` that `whole` has not, and what it has there, to show in a reason."""
    pairs = enumerate(zip(prompt, whole, strict=False))
    place = next((place for place, (one, other) in pairs if one != other), min(len(prompt), len(whole)))
    return f"{prompt[place:][:40]!r} in the prompt, {whole[place:][:40]!r} in the finished turn"
