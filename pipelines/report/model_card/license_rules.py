"""Which licence a model may be published under: the stricter of base and data, with every conflict named.

Whether the licence of training data binds the model is not settled; the stricter one is proposed to be on the safe
side, and a person decides.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipelines.report.model_card.license_table import LICENSES, NOT_ON_THE_HUB, SPELLINGS, Strictness
from pipelines.report.visible_text import listed, one_line

MAX_NAMES = 3  # of works in a sentence
_SAYS_NON_COMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non-?commercial", re.IGNORECASE)
_STRICTNESS = {name: strictness for strictness, names in LICENSES.items() for name in names}


@dataclass(frozen=True)
class Work:
    """Something that a model was made from, and the licence it is under as its own card states it."""

    name: str
    license: str | None


@dataclass(frozen=True)
class LicenseProposal:
    """What to put in the metadata: one of the Hub's identifiers, with `name` where that is "other".

    `warnings` are what a reader has to see first; `reason` says where the proposal comes from.
    """

    identifier: str
    name: str | None
    reason: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Terms:
    """A licence by its identifier, and the works that are under it."""

    identifier: str
    strictness: Strictness
    works: tuple[Work, ...]

    @property
    def shares_alike(self) -> bool:
        return self.strictness is Strictness.SHARE_ALIKE or "-nc-sa-" in self.identifier

    @property
    def named(self) -> str:
        """The first of the works."""
        names = [one_line(work.name, 80) for work in self.works]
        more = [f"{len(names) - MAX_NAMES:,} more"] if len(names) > MAX_NAMES else []
        return listed([*names[:MAX_NAMES], *more])

    @property
    def stated(self) -> str:
        """The licence as the works state it, where the table has no identifier for it."""
        found = sorted({one_line(work.license or "", 60) for work in self.works} - {"other"})
        return ", ".join(found[:MAX_NAMES]) or self.identifier

    @property
    def told(self) -> str:
        """The licence with its works."""
        if self.strictness is Strictness.UNKNOWN:
            return f"no licence on record ({self.named})"
        return f"{self.stated if self.identifier == 'other' else self.identifier} ({self.named})"


def license_identifier(stated: str | None) -> str:
    """The identifier of a licence as a card or a package states it: "MIT License" is "mit"; "other" for one that is not
    in the table and "unknown" for none. Of an SPDX choice (A OR B) the one that asks least, of A AND B the strictest.
    """
    words = (stated or "").strip()
    if not words:
        return "unknown"
    choices = [[_one_identifier(part) for part in re.split(r"\s+AND\s+", choice)] for choice in _choices(words)]
    return min((max(both, key=strictness_of) for both in choices), key=strictness_of)


def strictness_of(identifier: str) -> Strictness:
    """How much the licence of that identifier asks."""
    return _STRICTNESS.get(identifier, Strictness.OTHER)


def proposed_license(works: Sequence[Work]) -> LicenseProposal:
    """The licence to propose for a model made from `works`, the base first."""
    terms = _by_license(works)
    if not terms:
        return LicenseProposal("unknown", None, "There is no record of what this model was made from.", ())
    strictest = max(one.strictness for one in terms)
    chosen = _chosen([one for one in terms if one.strictness is strictest])
    on_the_hub = [one.identifier for one in chosen if one.identifier not in NOT_ON_THE_HUB]
    is_one = len(chosen) == 1 and bool(on_the_hub)
    identifier = chosen[0].identifier if is_one else "other"
    return LicenseProposal(
        identifier=identifier,
        name=_license_name(chosen) if identifier == "other" else None,
        reason=f"Made from works under {listed([one.told for one in terms])}.",
        warnings=(*_prohibitions(terms), *_conflicts(terms)),
    )


def _choices(words: str) -> list[str]:
    return re.split(r"\s+OR\s+", words) if "(" not in words else [words]


def _one_identifier(stated: str) -> str:
    """That of a single licence, as it is stated or without what is only a way of writing it."""
    words = re.sub(r"[\s_,]+", "-", re.split(r"\s+WITH\s+", stated)[0].strip().lower())
    without_noise = re.sub(r"-?\b(the|licen[cs]e)\b-?", "-", words).strip("-")
    for name in (words, without_noise, re.sub(r"-(only|or-later)$", "", without_noise)):
        if SPELLINGS.get(name, name) in _STRICTNESS:
            return SPELLINGS.get(name, name)
    return "other"


def _by_license(works: Sequence[Work]) -> list[_Terms]:
    found: dict[str, list[Work]] = {}
    for work in works:
        found.setdefault(license_identifier(work.license), []).append(work)
    return [_Terms(name, strictness_of(name), tuple(some)) for name, some in found.items()]


def _chosen(strictest: Sequence[_Terms]) -> list[_Terms]:
    """Of permissive licences the base's; of the others the one that also asks to share alike, or all of them."""
    if strictest[0].strictness is Strictness.PERMISSIVE:
        return list(strictest[:1])
    if strictest[0].strictness is Strictness.NON_COMMERCIAL:
        alike = [one for one in strictest if one.shares_alike]
        return alike if len(alike) == 1 and all("cc-by-nc-" in one.identifier for one in strictest) else list(strictest)
    return list(strictest)


def _license_name(chosen: Iterable[_Terms]) -> str:
    """A name for licences that the Hub has no identifier for: theirs, or what their works state."""
    names = [terms.stated if terms.identifier == "other" else terms.identifier for terms in chosen]
    slugs = [re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") for name in names]
    return "-and-".join(filter(None, slugs))[:80] or "other"


def _prohibitions(terms: Sequence[_Terms]) -> Iterable[str]:
    """What has to be said aloud of single licences."""
    for one in terms:
        if one.strictness is Strictness.NON_COMMERCIAL:
            yield f"Not for commercial use: {one.told} forbids it."
        if "-nd-" in one.identifier:
            yield f"Sharing may not be allowed: {one.told} forbids to share what is made from the work."
        if one.strictness is Strictness.USE_RESTRICTED and "-nd-" not in one.identifier:
            yield f"Uses are restricted: the terms of {one.told} hold for this model too and have to be passed on."
        if one.strictness is Strictness.OTHER:
            if any(_SAYS_NON_COMMERCIAL.search(work.license or "") for work in one.works):
                yield f"Not for commercial use: so says the name of {one.told}."
            yield f"Read the terms: {one.told} is a licence that this card cannot judge."
        if one.strictness is Strictness.UNKNOWN:
            yield f"Licence unknown: none is on record for {one.named}."


def _conflicts(terms: Sequence[_Terms]) -> Iterable[str]:
    """Pairs of licences that one licence of the model may not meet."""
    for one, other in combinations(terms, 2):
        if one.shares_alike and other.shares_alike:
            yield (
                f"Conflict: {one.told} and {other.told} both ask to share what is made from the work under their own "
                "terms. Whether one licence can meet both, this card does not settle."
            )
        elif one.shares_alike or other.shares_alike:
            sharing, demanding = (one, other) if one.shares_alike else (other, one)
            if _adds_terms(demanding, sharing):
                yield (
                    f"Conflict: {sharing.told} asks to share what is made from the work under the same terms, and "
                    f"{demanding.told} has terms that it does not allow to add. No one licence meets both, and this "
                    "card does not settle it."
                )


def _adds_terms(demanding: _Terms, sharing: _Terms) -> bool:
    """Whether a licence restricts what the one that asks to share alike leaves free: CC BY-NC adds nothing to CC
    BY-NC-SA. Of one that is not in the table nobody here knows."""
    both_non_commercial = {"cc-by-nc-"} == {one.identifier[:9] for one in (demanding, sharing)}
    return demanding.strictness in (Strictness.USE_RESTRICTED, Strictness.NON_COMMERCIAL) and not both_non_commercial
