"""Checks of the tokenizer on the rows' own text: what it makes of an answer says what the answer said."""

import unicodedata
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling.assistant_masks import inner_token_ids
from pipelines.preflight.check_context import CheckContext, SampledRow
from pipelines.preflight.checks.excerpts import head
from pipelines.preflight.checks.sampled_rows import MATERIAL_SHARE, spread
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_N_DECODED = 200  # rows: a normaliser changes much of the text or none of it
_MAX_CHARACTERS = 4000  # of an answer
_N_AROUND = 30  # characters around the first difference
_N_TOKENS_SHOWN = 6  # on either side of an unknown token


def answer_does_not_round_trip(context: CheckContext) -> Iterator[Finding]:
    """Answers read the same after they were tokens."""
    rows = spread([row for row in context.train.rows if any(row.answers) and row.examples], _N_DECODED)
    found = [(row, where) for row in rows if (where := _difference(context.tokenizer, row)) is not None]
    if len(found) < max(1.0, MATERIAL_SHARE * len(rows)):
        return
    yield Finding(
        "ANSWER_DOES_NOT_ROUND_TRIP",
        Severity.WARNING,
        summary=f"the tokenizer changes the answers of {len(found)} of {len(rows)} rows",
        why="the model learns the changed text, such as lowercase text, and cannot write any other",
        remedy="choose a base whose tokenizer keeps this text",
        evidence=tuple(Evidence(where, row.number, context.train.split) for row, where in found[:MAX_EVIDENCE]),
        n_rows=len(found),
    )


def unknown_tokens(context: CheckContext) -> Iterator[Finding]:
    """No text becomes the unknown token."""
    tokenizer = context.tokenizer
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id):
        return  # GPT-2 calls its end token so, and never needs it
    spelled = str(tokenizer.unk_token)
    found = [row for row in context.train.rows if _has_unknown(row, unknown) and not _spells(row, spelled)]
    if not found:
        return
    n_seen = len(context.train.rows)
    trained = [row for row in found if any(unknown in example.labels for example in row.examples)]
    n_unknown = sum(example.token_ids.count(unknown) for row in found for example in row.examples)
    n_tokens = sum(map(len, context.examples()))
    characters = _unknown_characters(tokenizer, unknown, found)
    yield Finding(
        "UNKNOWN_TOKENS",
        Severity.ERROR if len(trained) >= MATERIAL_SHARE * n_seen else Severity.WARNING,
        summary=f"{len(found)} of {n_seen} rows have characters that the tokenizer cannot encode ({characters}), "
        f"{len(trained)} in what is trained: {n_unknown / n_tokens:.2%} of all tokens are {spelled}",
        why=f"the model learns to write {spelled} where the answer has text, and cannot read it in a prompt",
        remedy="choose a base whose tokenizer can encode these characters, or remove the rows",
        evidence=tuple(_around_unknown(context, row, unknown) for row in (trained or found)[:MAX_EVIDENCE]),
        n_rows=len(found),
    )


def _difference(tokenizer: PreTrainedTokenizerBase, row: SampledRow) -> str | None:
    """The first answer that changes, at the place where it does. White space before it, which SentencePiece takes for
    its own, and how accents are composed (NFC) are no change; special and unknown tokens are other findings."""
    for answer in row.answers:
        text = answer[:_MAX_CHARACTERS]
        ids = inner_token_ids(tokenizer, text)
        if not set(ids).isdisjoint(tokenizer.all_special_ids):
            continue
        decoded = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        before, after = (unicodedata.normalize("NFC", one).lstrip() for one in (text, decoded))
        if before != after:
            pairs = zip(before, after, strict=False)
            shared = min(len(before), len(after))
            place = next((place for place, (one, other) in enumerate(pairs) if one != other), shared)
            shown = slice(max(0, place - _N_AROUND), place + _N_AROUND)
            return f"{before[shown]!r} becomes {after[shown]!r}"
    return None


def _has_unknown(row: SampledRow, unknown: int) -> bool:
    return any(unknown in example.token_ids for example in row.examples)


def _spells(row: SampledRow, token: str) -> bool:
    return token in row.asked or any(token in answer for answer in row.answers)


def _unknown_characters(tokenizer: PreTrainedTokenizerBase, unknown: int, rows: list[SampledRow]) -> str:
    """The characters of the first rows that are unknown when they stand alone."""
    text = "".join(row.asked + "".join(row.answers) for row in rows[:MAX_EVIDENCE])
    alone = sorted({one for one in text if not one.isspace() and unknown in inner_token_ids(tokenizer, one)})
    return " ".join(alone[:5]) or "in some company"


def _around_unknown(context: CheckContext, row: SampledRow, unknown: int) -> Evidence:
    for example in row.examples:
        places = [place for place, token_id in enumerate(example.token_ids) if token_id == unknown]
        trained = [place for place in places if example.labels[place] != IGNORED]
        if places:
            place = (trained or places)[0]
            tokens = context.labelled(example, max(0, place - _N_TOKENS_SHOWN), place + _N_TOKENS_SHOWN)
            return Evidence(head(row.answers[0] if trained else row.asked), row.number, context.train.split, tokens)
    raise AssertionError("a row without an unknown token")
