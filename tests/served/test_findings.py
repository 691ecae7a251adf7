"""Which cause explains the figures; they are those of the quickstart's adapter, changed as each test says."""

import pytest

from pipelines.served.answers import Kind, Pair
from pipelines.served.checks import Check, TokenCheck
from pipelines.served.distributions import Divergence
from pipelines.served.findings import (
    Cause,
    Missing,
    ending_findings,
    text_finding,
    tokenization_findings,
    weight_finding,
)
from pipelines.served.trained import Rounding

ROUNDINGS = [Rounding(16, 1.5e-5, 0.065), Rounding(8, 1.9e-4, 0.155), Rounding(4, 7.4e-2, 3.05)]
GOOD, BAD = Check("prompts", 12, 12), Check("prompts", 3, 12, "where it differs")


def divergence(kl: float, share: float = 0.0, straight: float = 0.05) -> Divergence:
    return Divergence(500, kl, 10 * kl, 0.1, share, straight)


@pytest.mark.parametrize(("found", "missing", "bits", "cause"), [
    (divergence(4e-7), None, None, None),
    (divergence(3.3e-5, straight=0.4), None, None, Cause.PRECISION),  # bfloat16 rounds small changes away
    (divergence(1.4e-4), Missing("q_proj", 2e-2), 8.5, Cause.PRECISION),
    (divergence(5.2e-2), Missing("q_proj", 6e-2), None, Cause.PRECISION),
    (divergence(5.2e-2), None, 32.0, Cause.WEIGHTS),  # a float32 file cannot be as far as 4 bits
    (divergence(5.2e-2), None, 5.6, Cause.PRECISION),
    (divergence(8.8e-3, 0.01, 0.18), Missing("q_proj", 0.0), None, Cause.WEIGHTS),
    (divergence(8.9e-3, 0.01, 0.18), Missing("q_proj", 2e-4), 8.5, Cause.WEIGHTS),  # and in 8 bits
    (divergence(1.9e-2, 0.03, 0.32), Missing("q_proj", 1.8e-2), None, Cause.WEIGHTS),  # one layer left out
    (divergence(1.5e-1, 0.12, 0.83), None, None, Cause.WEIGHTS),  # half of lora_alpha
    (divergence(2.9e-1, 0.88, 0.98), None, None, Cause.NOT_APPLIED),
    (Divergence(500, 2.9e-1, 3.0, 0.1), None, None, Cause.PRECISION),  # no base at hand: within 4 bits
    (Divergence(500, 1.0, 3.0, 0.1), None, None, Cause.WEIGHTS),
])  # fmt: skip
def test_log_probabilities_are_explained_by_rounding_by_a_missing_part_or_by_the_base(found, missing, bits, cause):
    finding = weight_finding(found, ROUNDINGS, missing, bits)
    assert (finding and finding.cause) == cause


def pairs(*kinds: Kind, gap: float | None = None) -> list[Pair]:
    return [Pair(kind, "It is so.", "It is no.", "stop", gap) for kind in kinds]


@pytest.mark.parametrize(("gap", "n_as_base", "cause"), [
    (5e-5, 0, None), (0.1, 0, Cause.PRECISION), (0.1, 9, Cause.NOT_APPLIED), (0.5, 0, Cause.WEIGHTS),
    (None, 0, Cause.WEIGHTS),
])  # fmt: skip
def test_texts_alone_are_explained_by_ties_by_the_base_or_by_rounding_to_8_bits_at_most(gap, n_as_base, cause):
    finding = text_finding(pairs(Kind.EQUAL, Kind.OTHER, gap=gap), ROUNDINGS, n_as_base, 10)
    assert (finding and finding.cause) == cause


@pytest.mark.parametrize(("kinds", "causes"), [
    ([Kind.EQUAL] * 9, []),
    ([Kind.LONGER] * 9 + [Kind.OTHER], [Cause.END_TOKEN]),
    ([Kind.SHORTER] * 3, [Cause.END_TOKEN]),
    ([Kind.SPACE] * 3 + [Kind.EQUAL], [Cause.LEADING_SPACE]),
    ([Kind.LONGER] + [Kind.OTHER] * 8, []),
])  # fmt: skip
def test_ends_and_spaces_explain_answers_unless_most_are_other_texts(kinds, causes):
    assert [one.cause for one in ending_findings(pairs(*kinds))] == causes


@pytest.mark.parametrize(("rendered", "counts", "tokens", "shift", "causes"), [
    (GOOD, GOOD, TokenCheck(GOOD), True, []),
    (BAD, BAD, TokenCheck(GOOD), False, [Cause.TEMPLATE]),
    (None, BAD, TokenCheck(GOOD), False, [Cause.TEMPLATE]),
    (None, BAD, None, True, [Cause.TEMPLATE]),
    (None, BAD, None, False, [Cause.TOKENIZER]),
    (GOOD, BAD, TokenCheck(BAD), False, [Cause.TOKENIZER]),
    (GOOD, GOOD, TokenCheck(BAD, is_leading_space=True), True, [Cause.LEADING_SPACE]),
    (BAD, BAD, TokenCheck(BAD), False, [Cause.TEMPLATE, Cause.TOKENIZER]),
])  # fmt: skip
def test_prompts_are_explained_by_the_template_or_the_tokenizer(rendered, counts, tokens, shift, causes):
    assert [one.cause for one in tokenization_findings(rendered, counts, tokens, shift_equally=shift)] == causes
