"""Where the answer begins: what a template's whole conversation has after the prompt that is served."""

import re

# A thought that is open and closed with nothing in it: templates write it into the prompt to turn thinking off, and
# leave it out of the finished turn.
_MARK = r"[<\[][^<>\[\]\s]{0,12}(?:think|thought)[^<>\[\]\s]{0,10}[>\]]"
_EMPTY_THOUGHT = re.compile(rf"(?:<\|channel>thought|{_MARK})\s*(<channel\|>\s*|{_MARK}\s*)\Z", re.IGNORECASE)
_OPEN_THOUGHT = re.compile(rf"\s*(?:<\|channel>thought|{_MARK})", re.IGNORECASE)


def text_after(prompt: str, whole: str) -> str | None:
    """What `whole` has after `prompt`, None if it goes on otherwise.

    An empty thought at the end of `prompt` may be missing in `whole`, or only its closing mark may be there; another
    thought in its place would be one more after it, which no model writes. Where they differ in white space alone
    (templates written over several lines), the answer begins at its first other character: the white space before it
    is the prompt's.
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


def first_difference(prompt: str, whole: str) -> str:
    """The end of `prompt` that `whole` has not, and what it has there, to show in a reason."""
    pairs = enumerate(zip(prompt, whole, strict=False))
    place = next((place for place, (one, other) in pairs if one != other), min(len(prompt), len(whole)))
    return f"{prompt[place:][:40]!r} in the prompt, {whole[place:][:40]!r} in the finished turn"
