"""The license to propose for a model, from the licenses of its base and data.

It is not settled whether the license of training data binds a model, so the card proposes the stricter license and
leaves the decision to a person.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.files.visible_text import listed, one_line

MAX_NAMES = 3  # works named in a sentence

# The Hub's license ids, https://huggingface.co/docs/hub/repositories-licenses (August 2026).
PERMISSIVE = frozenset({
    "apache-2.0", "mit", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cdla-permissive-1.0",
    "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "etalab-2.0", "isc", "odc-by", "openmdw-1.0", "openmdw-1.1",
    "postgresql", "ncsa", "unlicense", "zlib", "pddl",
})  # fmt: skip
WITH_TERMS = frozenset({  # share alike, restricted uses, or no commercial use
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cdla-sharing-1.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0",
    "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "mpl-2.0", "ms-pl", "odbl",
    "ofl-1.1", "osl-3.0", "openrail", "openrail++", "bigscience-openrail-m", "creativeml-openrail-m",
    "bigscience-bloom-rail-1.0", "bigcode-openrail-m", "c-uda", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3",
    "llama4", "grok2-community", "gemma", "cc-by-nd-4.0", "cc", "apple-ascl", "lppl-1.3c",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "apple-amlr", "deepfloyd-if-license", "h-research", "intel-research",
    "fair-noncommercial-research-license",
})  # fmt: skip
_PACKAGES_ONLY = frozenset({"psf-2.0", "python-2.0", "0bsd", "mit-0"})  # permissive SPDX ids that the Hub does not list
_SPELLINGS = {
    "apache": "apache-2.0", "apache-2": "apache-2.0", "apache-software": "apache-2.0", "apache2": "apache-2.0",
    "apache-version-2.0": "apache-2.0", "bsd-2": "bsd-2-clause", "bsd-3": "bsd-3-clause", "bsd-new": "bsd-3-clause",
    "cc0": "cc0-1.0", "gplv2": "gpl-2.0", "gplv3": "gpl-3.0", "mozilla-public-2.0": "mpl-2.0", "psf": "psf-2.0",
}  # fmt: skip
_NON_COMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non-?commercial", re.IGNORECASE)
_RESEARCH_ONLY = frozenset({"apple-amlr", "deepfloyd-if-license", "h-research", "intel-research"})


@dataclass(frozen=True)
class Work:
    """A base, a dataset or a source that the model was made from, and the license that its own card states."""

    name: str
    license: str | None


@dataclass(frozen=True)
class LicenseProposal:
    """A Hub license id for the metadata, with a `name` where it is "other", and the sentences for the reader."""

    identifier: str
    name: str | None
    reason: str
    warnings: tuple[str, ...] = ()


def license_identifier(stated: str | None) -> str:
    """Return the id of a license as a card or a package states it: "MIT License" is "mit".

    "other" is a license that is not listed here, "unknown" is none. Of an SPDX choice (A OR B) the less strict license
    counts, of A AND B the stricter one.
    """
    words = (stated or "").strip()
    if not words:
        return "unknown"
    choices = re.split(r"\s+OR\s+", words) if "(" not in words else [words]
    return min((max(map(_single, re.split(r"\s+AND\s+", one)), key=_strictness) for one in choices), key=_strictness)


def proposed_license(works: Sequence[Work]) -> LicenseProposal:
    """Propose a license for a model made from `works`, the base first: the base's where all are permissive, else the
    one that has terms, else "other" with all of their names."""
    by_id: dict[str, list[Work]] = {}
    for work in works:
        by_id.setdefault(license_identifier(work.license), []).append(work)
    if not by_id:
        return LicenseProposal("unknown", None, "The sources of this model were not recorded.")
    binding = [one for one in by_id if _strictness(one)] or [next(iter(by_id))]
    if "unknown" in by_id:
        identifier = "unknown"
    else:
        identifier = binding[0] if len(binding) == 1 and binding[0] not in _PACKAGES_ONLY else "other"
    reason = f"Made from works under {listed([_described(*one) for one in by_id.items()])}."
    name = _license_name(binding, by_id) if identifier == "other" else None
    return LicenseProposal(identifier, name, reason, tuple(_warnings(binding, by_id)))


def _single(stated: str) -> str:
    words = re.sub(r"[\s_,]+", "-", re.split(r"\s+WITH\s+", stated)[0].strip().lower())
    plain = re.sub(r"-?\b(the|licen[cs]e)\b-?", "-", words).strip("-")
    for name in (words, plain, re.sub(r"-(only|or-later)$", "", plain)):
        name = _SPELLINGS.get(name, name)
        if name in PERMISSIVE | WITH_TERMS | _PACKAGES_ONLY or name == "unknown":
            return name
    return "other"


def _strictness(identifier: str) -> int:
    """0 for permissive licenses, 1 for those with terms, 2 for those whose terms are not known."""
    return 0 if identifier in PERMISSIVE | _PACKAGES_ONLY else 1 if identifier in WITH_TERMS else 2


def _warnings(binding: Sequence[str], by_id: dict[str, list[Work]]) -> Iterator[str]:
    non_commercial = [one for one in binding if _is_non_commercial(one, by_id[one])]
    if non_commercial:
        yield f"Not for commercial use: {listed([_described(one, by_id[one]) for one in non_commercial])}."
    if "unknown" in by_id:
        yield f"License unknown: none was recorded for {_named(by_id['unknown'])}."
    with_terms = [_described(one, by_id[one]) for one in binding if _strictness(one) and one != "unknown"]
    if len(with_terms) > 1:
        yield f"Several licenses with terms: {listed(with_terms)}. This card does not decide how to meet all of them."
    elif with_terms:
        yield f"Read the terms: {with_terms[0]}."


def _is_non_commercial(identifier: str, works: Sequence[Work]) -> bool:
    stated = [identifier, *(work.license or "" for work in works)]
    return identifier in _RESEARCH_ONLY or any(_NON_COMMERCIAL.search(one) for one in stated)


def _stated(identifier: str, works: Sequence[Work]) -> str:
    """The id, or what the works themselves state where there is none."""
    if identifier != "other":
        return identifier
    return ", ".join(sorted({one_line(work.license or "", 60) for work in works} - {"other"})[:MAX_NAMES]) or "other"


def _described(identifier: str, works: Sequence[Work]) -> str:
    stated = "no license recorded" if identifier == "unknown" else _stated(identifier, works)
    return f"{stated} ({_named(works)})"


def _named(works: Sequence[Work]) -> str:
    names = [one_line(work.name, 80) for work in works]
    return listed([*names[:MAX_NAMES], *([f"{len(names) - MAX_NAMES:,} more"] if len(names) > MAX_NAMES else [])])


def _license_name(binding: Sequence[str], by_id: dict[str, list[Work]]) -> str:
    slugs = [re.sub(r"[^a-z0-9.]+", "-", _stated(one, by_id[one]).lower()).strip("-") for one in binding]
    return "-and-".join(filter(None, slugs))[:80] or "other"
