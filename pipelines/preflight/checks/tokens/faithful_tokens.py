"""Checks of the tokenizer on the rows' text: answers survive tokenization, and no character is unknown."""

import unicodedata
from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from pipelines.inference.teacher_forcing import IGNORED
from pipelines.modeling.assistant_masks import inner_token_ids
from pipelines.preflight.check_context import CheckContext, SampledRow
from pipelines.preflight.checks.evidence import MATERIAL_SHARE, error_if_material, head, row_evidence, spread
from pipelines.records.finding import MAX_EVIDENCE, Evidence, Finding, Severity

_N_DECODED = 200  # rows: a normalizer changes much of the text or none of it
_MAX_CHARACTERS = 4000  # of an answer
_N_AROUND = 30  # characters around the first difference
_N_TOKENS_SHOWN = 6  # on either side of an unknown token


def answer_does_not_round_trip(context: CheckContext) -> Iterator[Finding]:
    """ANSWER_DOES_NOT_ROUND_TRIP: answers that decode to another text than they were."""
    rows = spread([row for row in context.train.rows if any(row.answers) and row.examples], _N_DECODED)
    found = {row.number: change for row in rows if (change := _change(context.tokenizer, row)) is not None}
    if len(found) >= max(1.0, MATERIAL_SHARE * len(rows)):
        yield Finding(
            "ANSWER_DOES_NOT_ROUND_TRIP",
            Severity.WARNING,
            summary=f"the tokenizer changes the answers of {len(found)} of {len(rows)} rows",
            why="the model learns the changed text, for example without capital letters, and can write no other",
            remedy="choose a base whose tokenizer keeps this text",
            evidence=row_evidence((row for row in rows if row.number in found), lambda row: found[row.number]),
            n_rows=len(found),
        )


def unknown_tokens(context: CheckContext) -> Iterator[Finding]:
    """UNKNOWN_TOKENS: text that becomes the unknown token."""
    tokenizer = context.tokenizer
    unknown, name = tokenizer.unk_token_id, str(tokenizer.unk_token)
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id):
        return  # GPT-2 gives its end token this role, and never needs it
    found = [
        row for row in context.train.rows
        if any(unknown in example.token_ids for example in row.examples)
        and name not in row.asked and not any(name in answer for answer in row.answers)
    ]  # fmt: skip
    if not found:
        return
    n_rows = len(context.train.rows)
    trained = [row for row in found if any(unknown in example.labels for example in row.examples)]
    n_unknown = sum(example.token_ids.count(unknown) for row in found for example in row.examples)
    yield Finding(
        "UNKNOWN_TOKENS",
        error_if_material(len(trained), n_rows),
        summary=f"{len(found)} of {n_rows} rows have characters that the tokenizer does not know "
        f"({_unknown_characters(tokenizer, unknown, found)}), {len(trained)} of them in the answer: "
        f"{n_unknown / sum(map(len, context.examples())):.2%} of all tokens are {name}",
        why=f"the model learns to write {name} instead of this text, and cannot read it in a prompt",
        remedy="choose a base whose tokenizer knows these characters, or remove the rows",
        evidence=tuple(_around_unknown(context, row, unknown) for row in (trained or found)[:MAX_EVIDENCE]),
        n_rows=len(found),
    )


def _change(tokenizer: PreTrainedTokenizerBase, row: SampledRow) -> str | None:
    """The first change in an answer. A space at the start, which SentencePiece adds or takes, and how accents are
    composed (NFC) are no change; special and unknown tokens are other findings."""
    for answer in row.answers:
        text = answer[:_MAX_CHARACTERS]
        ids = inner_token_ids(tokenizer, text)
        if not set(ids).isdisjoint(tokenizer.all_special_ids):
            continue
        decoded = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        before, after = (unicodedata.normalize("NFC", one) for one in (text, decoded))
        if before not in (after, f" {after}") and after != f" {before}":
            pairs = zip(before, after, strict=False)
            shared = min(len(before), len(after))
            place = next((place for place, (one, other) in enumerate(pairs) if one != other), shared)
            shown = slice(max(0, place - _N_AROUND), place + _N_AROUND)
            return f"{before[shown]!r} becomes {after[shown]!r}"
    return None


def _unknown_characters(tokenizer: PreTrainedTokenizerBase, unknown: int, rows: list[SampledRow]) -> str:
    """The characters of the first rows that are unknown on their own."""
    text = "".join(row.asked + "".join(row.answers) for row in rows[:MAX_EVIDENCE])
    alone = sorted({one for one in text if not one.isspace() and unknown in inner_token_ids(tokenizer, one)})
    return " ".join(alone[:5]) or "only next to others"


def _around_unknown(context: CheckContext, row: SampledRow, unknown: int) -> Evidence:
    example = next(one for one in row.examples if unknown in one.token_ids)
    places = [place for place, token_id in enumerate(example.token_ids) if token_id == unknown]
    trained = [place for place in places if example.labels[place] != IGNORED]
    tokens = context.labelled_around(example, (trained or places)[0], _N_TOKENS_SHOWN)
    return Evidence(head(row.answers[0] if trained else row.asked), row.number, context.train.split, tokens)
