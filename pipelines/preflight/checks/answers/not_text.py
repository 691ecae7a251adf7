"""Checks of answers that are no text (base64, dumps of bytes, random characters) or a loop of the same words."""

import re
from collections.abc import Iterator

from data_prep.text_rules.repeats import MAX_SHARE, MIN_CHARACTERS, may_repeat, repeats
from pipelines.preflight.check_context import CheckContext, Stage
from pipelines.preflight.checks.answers.damaged_rows import damage_finding
from pipelines.preflight.checks.evidence import Check, excerpt
from pipelines.records.finding import Finding

_ERROR_SHARE = 0.2

# Base64 is one run of characters, or lines of 64 or 76 of them. Shorter runs are names, links and identifiers; names
# change less, and hashes have few letters.
_MIN_RUN = 40
_RUN = re.compile(rf"[!-~]{{{_MIN_RUN},}}")
_CODES = bytes(ord("x") if 33 <= code <= 126 else ord(" ") for code in range(256))
_LONG = b"x" * _MIN_RUN
_CHANGE = re.compile(r"(?=[a-z][A-Z0-9]|[A-Z][0-9]|[0-9][A-Za-z]|[A-Z][a-z][A-Z0-9])")
_PAIR = re.compile(r"(?=[A-Za-z0-9]{2})")
_MIN_CHANGES, _MIN_LETTERS = 0.22, 14  # of 100 pairs of letters and digits; different letters
_MIN_PART = 0.5  # of the answer
_SCHEME = re.compile(r"\w+://|www\.")
# Bytes in hexadecimal begin an answer: "89 50 4e 47", "0x89, 0x50", "\\x89\\x50", "00000000: 8950 4e47"
_N_HEXADECIMAL, _MIN_DIGITS, _MIN_HEX_LETTERS = 48, 12, 4  # characters of the beginning
_LONGER_THAN_HASHES = 132
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF ,:x\\\n")
_ASKED_FOR = re.compile(
    r"base ?64|encod|decod|encrypt|decrypt|cipher|hash|\bhex|\bsha|\bmd5|checksum|digest|\btokens?\b|\bkeys?\b|binary"
    r"|\bbytes?\b|uuid|guid|certificate|signature|password|random|compress|serial|\bdump|\bjwt\b|\bssh\b|\bdna\b|genom"
    r"|sequence|smiles|molecul|编码|加密|哈希|密钥|随机",
    re.IGNORECASE,
)


def not_text(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_NOT_TEXT: base64, dumps of bytes and random characters that nobody asked for."""
    yield from damage_finding(
        "ANSWERS_NOT_TEXT", context, code_in,
        what="contain base64, bytes in hexadecimal or random characters",
        why="the model learns nothing from it, and these characters have more tokens than the other answers",
        remedy="decode or remove what is no text (embedded images, attachments), or remove these rows",
        error=_ERROR_SHARE,
    )  # fmt: skip


def code_in(asked: str, answer: str) -> str | None:
    """An excerpt of `answer` where it is no text and the prompt did not ask for that, None if it is text."""
    place = _random_run(answer) if _LONG in answer.encode("utf-8", "replace").translate(_CODES) else None
    place = place or _hexadecimal(answer)
    return None if place is None or _ASKED_FOR.search(asked) else excerpt(answer, *place)


def _random_run(answer: str) -> tuple[int, int] | None:
    """The first long run of characters that change between small and capital letters and digits all the time, if these
    runs are most of the answer: a key or a link in a sentence is text."""
    runs = [match for match in _RUN.finditer(answer) if _is_random(match.group())]
    is_most = sum(len(match.group()) for match in runs) >= _MIN_PART * len(answer)
    return runs[0].span() if runs and (is_most or any("base64," in match.group() for match in runs)) else None


def _is_random(run: str) -> bool:
    if "base64," in run:  # an embedded image
        return True
    n_letters, n_pairs = len(set(re.sub("[^a-z]", "", run.lower()))), len(_PAIR.findall(run))
    changes = len(_CHANGE.findall(run)) >= _MIN_CHANGES * max(1, n_pairs)
    return n_letters >= _MIN_LETTERS and changes and not _SCHEME.search(run)


def _hexadecimal(answer: str) -> tuple[int, int] | None:
    begin = answer[:_N_HEXADECIMAL]
    if len(begin) < _N_HEXADECIMAL or not _HEXADECIMAL.issuperset(begin):
        return None
    if not any(one in begin for one in " :,\\"):  # a hash, unless it is longer than any
        begin = answer[:_LONGER_THAN_HASHES]
        if len(begin) < _LONGER_THAN_HASHES or not _HEXADECIMAL.issuperset(begin):
            return None
    n_digits, n_letters = sum(map(str.isdecimal, begin)), sum(one in "abcdefABCDEF" for one in begin)
    return (0, len(begin)) if n_digits >= _MIN_DIGITS and n_letters >= _MIN_HEX_LETTERS else None


def looping_answers(context: CheckContext) -> Iterator[Finding]:
    """ANSWERS_LOOP: answers that repeat the same words or sentences until they end."""
    if context.stage is not Stage.PRETRAIN:
        yield from damage_finding(
            "ANSWERS_LOOP", context, loop_in,
            what="repeat the same words or sentences again and again",
            why="the model learns to go on for ever",
            remedy="drop them with `python data_prep/build_instructions.py --source FILE --output FOLDER`, whose step "
            "`repetition` finds them, or remove these rows",
            error=_ERROR_SHARE,
        )  # fmt: skip


def loop_in(asked: str, answer: str) -> str | None:
    """What an answer repeats and the share of its characters, None without a loop."""
    if len(answer) < MIN_CHARACTERS or not may_repeat(answer):
        return None
    found = repeats(answer, MAX_SHARE)
    if found is None or re.search(r"\brepeat|\btimes\b|song|lyrics|poem|chant|mantra", asked, re.IGNORECASE):
        return None
    what, share = found
    return f"{share:.0%} are a {what.replace('_', ' ')}: {excerpt(answer, len(answer) // 2, len(answer) // 2 + 80)}"


CHECKS: tuple[Check, ...] = (not_text, looping_answers)
