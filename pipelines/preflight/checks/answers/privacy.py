"""Checks of privacy: personal data and credentials in answers, by the rules of data_prep's cleaning steps."""

import re
from collections import Counter
from collections.abc import Callable, Iterator

from data_prep.text_rules.credentials import find_credentials, may_have_credentials
from data_prep.text_rules.personal_data import find_personal_data, may_have_personal_data
from pipelines.preflight.check_context import CheckContext, SampledRow, Stage
from pipelines.preflight.checks.answers.damaged_rows import texts_in
from pipelines.preflight.checks.evidence import (
    Check,
    builder,
    evidence_of_splits,
    excerpt,
    rows_of_splits,
    share_of,
    wanted_answers,
)
from pipelines.records.finding import Finding, Severity

Places = list[tuple[str, int, int]]  # type, start and end

_SOME_ROWS, _SOME_SHARE = 2, 0.005  # public sets have personal data in up to 0.15% of the answers, most of it invented
_CERTAIN = ("credit_card", "iban_code", "us_ssn")  # no public set has one: a single row counts
_OF_NO_PERSON = re.compile(  # addresses of firms and of invented people
    r"(?i)^(?:info|contact|kontakt|support|help|helpdesk|hello|sales|service|office|press|media|pr|news|newsletter|jobs"
    r"|careers?|hr|admin|webmaster|postmaster|billing|orders?|returns?|feedback|enquir(?:y|ies)|inquir(?:y|ies)|team"
    r"|security|abuse|legal|privacy|no-?reply|do-?not-?reply|customer-?(?:service|care|support)|marketing|events?"
    r"|bookings?|reservations?|admissions?)@"
    r"|^j(?:ohn|ane)?[._-]?(?:doe|smith)\d*@|@(?:some|any|the|my)?-?company\."
)


def personal_data(context: CheckContext) -> Iterator[Finding]:
    """PERSONAL_DATA: addresses and numbers of people that the model would learn by heart."""
    rows = rows_of_splits(context)
    found = _rows_with(context, rows, may_have_personal_data, _personal_places)
    seen: set[str] = set()  # one address in many answers is that of a firm
    new = []
    for split, row, answer, places in found:
        values = {answer[start:end] for _, start, end in places}
        if values - seen:
            new.append((split, row, answer, places))
        seen |= values
    types = Counter(type_ for _, _, _, places in new for type_ in {type_ for type_, _, _ in places})
    if not new:
        return
    are_many = len(new) >= max(_SOME_ROWS, _SOME_SHARE * len(rows)) or any(map(types.get, _CERTAIN))
    is_public_text = context.stage is Stage.PRETRAIN
    yield Finding(
        "PERSONAL_DATA",
        Severity.WARNING if are_many and not is_public_text else Severity.NOTE,
        summary=f"the {texts_in(context)} of {share_of(len(new), len(rows))} rows contain personal data: "
        f"{_named(types)}",
        why="the model learns it by heart and tells it to anybody",
        remedy=f"replace it by marks with `python {builder(context)} --source FILE --output FOLDER` and the cleaning "
        "step `personal_data`, or remove these rows",
        evidence=evidence_of_splits(
            (split, row, _masked_excerpt(answer, places)) for split, row, answer, places in new
        ),
        n_rows=len(new),
    )


def credentials(context: CheckContext) -> Iterator[Finding]:
    """CREDENTIALS: keys of services, private keys and passwords."""
    rows = rows_of_splits(context)
    found = _rows_with(context, rows, may_have_credentials, _credential_places)
    if not found:
        return
    types = Counter(type_ for _, _, _, places in found for type_ in {type_ for type_, _, _ in places})
    yield Finding(
        "CREDENTIALS",
        Severity.WARNING,
        summary=f"the {texts_in(context)} of {share_of(len(found), len(rows))} rows contain keys or passwords: "
        f"{_named(types)}",
        why="the model learns them by heart, and whoever has the model has them",
        remedy=f"revoke them, and replace them by marks with `python {builder(context)} --source FILE --output FOLDER` "
        "and the cleaning step `secrets`, or remove these rows",
        evidence=evidence_of_splits(
            (split, row, _masked_excerpt(answer, places)) for split, row, answer, places in found
        ),
        n_rows=len(found),
    )


def _rows_with(
    context: CheckContext, rows: list[tuple[str, SampledRow]], may_have: Callable[[str], bool],
    find: Callable[[SampledRow, str], Places],
) -> list[tuple[str, SampledRow, str, Places]]:  # fmt: skip
    """The rows with an answer in which `find` finds something, with the first such answer and the places."""
    found = []
    for split, row in rows:
        for answer in wanted_answers(row, context.stage):
            if may_have(answer) and (places := find(row, answer)):
                found.append((split, row, answer, places))
                break
    return found


def _personal_places(row: SampledRow, answer: str) -> Places:
    """Personal data in an answer but for what the prompt has: that was given to the model."""
    places = ((type_.lower(), start, end) for type_, start, end in find_personal_data(answer))
    return [
        (type_, start, end) for type_, start, end in places
        if (value := answer[start:end]) not in row.asked
        and not (type_ == "email_address" and _OF_NO_PERSON.search(value))
    ]  # fmt: skip


def _credential_places(_: SampledRow, answer: str) -> Places:
    return [(type_.lower(), start, end) for type_, start, end in find_credentials(answer)]


def _named(types: Counter[str]) -> str:
    return ", ".join(f"{type_.replace('_', ' ')} ({count})" for type_, count in types.most_common())


def _masked_excerpt(answer: str, places: Places) -> str:
    """The surroundings of the first place, with marks such as <EMAIL_ADDRESS> for what must not be shown."""
    pieces, end = [], 0
    for type_, start, stop in sorted(places, key=lambda one: one[1]):
        if start >= end:  # two rules may find one number
            pieces += [answer[end:start], f"<{type_.upper()}>"]
            end = stop
    begin = len(pieces[0])
    return excerpt("".join([*pieces, answer[end:]]), begin, begin + len(pieces[1]))


CHECKS: tuple[Check, ...] = (personal_data, credentials)
