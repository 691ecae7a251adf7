"""Keep credentials in rows out of findings, which are printed, recorded and published."""

from collections.abc import Iterable
from dataclasses import replace
from difflib import SequenceMatcher

from data_prep.text_rules.credentials import find_credentials, may_have_credentials
from pipelines.preflight.check_context import CheckContext, SampledRow
from pipelines.preflight.checks.evidence import texts_of
from pipelines.records.finding import Evidence, Finding

_SHOWN = 8  # characters of a credential that may be seen


def masked(findings: Iterable[Finding], context: CheckContext) -> list[Finding]:
    """`findings` with asterisks for the credentials of the rows that their evidence quotes."""
    findings = list(findings)
    wanted = {(one.split, one.row) for finding in findings for one in finding.evidence if one.row is not None}
    secrets: dict[tuple[str | None, int | None], tuple[str, ...]] = {
        (sampled.split, row.number): found for sampled in context.splits for row in sampled.rows
        if (sampled.split, row.number) in wanted and (found := _credentials_of(row))
    }  # fmt: skip
    if not secrets:
        return findings
    return [
        replace(one, evidence=tuple(_masked(each, secrets.get((each.split, each.row), ())) for each in one.evidence))
        for one in findings
    ]


def _credentials_of(row: SampledRow) -> tuple[str, ...]:
    texts = [text for _, text in texts_of(row) if may_have_credentials(text)]
    return tuple(text[start:end] for text in texts for _, start, end in find_credentials(text))


def _masked(evidence: Evidence, secrets: Iterable[str]) -> Evidence:
    text, tokens = evidence.text, evidence.tokens
    for secret in secrets:
        while (part := _part_in(text, secret)) is not None:
            text = text.replace(part, "*" * _SHOWN)
        if _part_in("".join(token.text for token in tokens), secret) is not None:
            tokens = ()
    return replace(evidence, text=text, tokens=tokens)


def _part_in(text: str, secret: str) -> str | None:
    """The longest part of `secret` in an excerpt, which may begin or end inside it."""
    match = SequenceMatcher(None, text, secret, autojunk=False).find_longest_match()
    return text[match.a : match.a + match.size] if match.size > _SHOWN else None
