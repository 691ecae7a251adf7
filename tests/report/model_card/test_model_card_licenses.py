"""Which licence a card proposes, what it says aloud, and which conflicts it names."""

import re
from itertools import combinations

import pytest

from pipelines.report.model_card.license_rules import Work, license_identifier, proposed_license, strictness_of
from pipelines.report.model_card.license_table import LICENSES, NOT_ON_THE_HUB, SPELLINGS, Strictness


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        ("mit", "mit"),
        ("MIT License", "mit"),
        ("Apache 2.0", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("Apache Software License", "apache-2.0"),
        ("BSD 3-Clause License", "bsd-3-clause"),
        ("BSD License", "bsd"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("CC-BY-SA-3.0", "cc-by-sa-3.0"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "gpl-3.0"),
        ("MIT OR GPL-3.0-only", "mit"),
        ("MIT AND CC-BY-NC-4.0", "cc-by-nc-4.0"),
        ("GPL-3.0-only OR MIT AND Apache-2.0", "mit"),
        ("PSF-2.0", "psf-2.0"),
        ("llama3.1", "llama3.1"),
        ("MIT (GPT-4 output)", "other"),
        ("mit, cc-by-nc-4.0", "other"),
        ("Tongyi Qianwen", "other"),
        ("other", "other"),
        ("unknown", "unknown"),
        ("  ", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_stated_licence_has_an_identifier(stated: str | None, identifier: str) -> None:
    assert license_identifier(stated) == identifier


@pytest.mark.parametrize(
    ("base", "data", "proposed", "said"),
    [
        ("apache-2.0", ["mit"], "apache-2.0", []),
        ("mit", [], "mit", []),
        ("apache-2.0", ["cc-by-sa-3.0"], "cc-by-sa-3.0", []),
        ("apache-2.0", ["cc-by-nc-4.0"], "cc-by-nc-4.0", ["Not for commercial use: cc-by-nc-4.0 (data 0)"]),
        ("cc-by-nc-4.0", ["mit"], "cc-by-nc-4.0", ["Not for commercial use: cc-by-nc-4.0 (the base)"]),
        ("llama3", ["mit"], "llama3", ["Uses are restricted: the terms of llama3 (the base)"]),
        ("llama3", ["cc-by-nc-4.0"], "cc-by-nc-4.0", ["Not for commercial use", "Uses are restricted"]),
        ("llama3", ["gemma"], "other", ["Uses are restricted", "Uses are restricted"]),
        ("mit", [None], "unknown", ["Licence unknown: none is on record for data 0."]),
        (None, ["cc-by-nc-4.0"], "unknown", ["Licence unknown", "Not for commercial use"]),
        ("my own terms", ["mit"], "other", ["Read the terms: my own terms (the base)"]),
        ("mit", ["mit, cc-by-nc-4.0"], "other", ["Not for commercial use: so says the name", "Read the terms"]),
        ("Acme Non-Commercial 1.0", [], "other", ["Not for commercial use", "Read the terms"]),
        ("cc-by-nd-4.0", ["mit"], "cc-by-nd-4.0", ["Sharing may not be allowed"]),
        ("cc-by-nc-4.0", ["cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0", ["Not for commercial use", "Not for commercial use"]),
        ("cc-by-nc-4.0", ["apple-amlr"], "other", ["Not for commercial use", "Not for commercial use"]),
        ("mit", ["cc-by-sa-3.0", "cc-by-nc-4.0"], "cc-by-nc-4.0", ["Not for commercial use", "Conflict"]),
        ("gemma", ["cc-by-sa-4.0"], "gemma", ["Uses are restricted", "Conflict"]),
        ("gpl-3.0", ["cc-by-sa-4.0"], "other", ["Conflict"]),
        ("llama3", ["cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0", ["Uses", "Not for commercial use", "Conflict"]),
        ("psf-2.0", ["mit"], "other", []),
    ],
)
def test_the_stricter_licence_is_proposed_and_what_matters_is_said(
    base: str | None, data: list[str | None], proposed: str, said: list[str]
) -> None:
    works = [Work("the base", base), *(Work(f"data {number}", one) for number, one in enumerate(data))]
    found = proposed_license(works)
    assert found.identifier == proposed
    assert len(found.warnings) == len(said), found.warnings
    for start in said:
        assert any(warning.startswith(start) for warning in found.warnings), found.warnings
    assert (found.name is not None) == (proposed == "other")


def test_a_conflict_names_both_works_and_settles_nothing() -> None:
    works = [Work("dolly", "cc-by-sa-3.0"), Work("alpaca", "cc-by-nc-4.0")]
    conflict = proposed_license(works).warnings[-1]
    assert conflict == (
        "Conflict: cc-by-sa-3.0 (dolly) asks to share what is made from the work under the same terms, and "
        "cc-by-nc-4.0 (alpaca) has terms that it does not allow to add. No one licence meets both, and this card does "
        "not settle it."
    )


def test_names_of_other_licences_are_joined() -> None:
    assert proposed_license([Work("a", "llama3"), Work("b", "gemma")]).name == "llama3-and-gemma"
    assert proposed_license([Work("a", "Tongyi Qianwen")]).name == "tongyi-qianwen"
    assert re.fullmatch("b-x{40,60}", str(proposed_license([Work("a", "<b>\n---\n" + "x" * 500)]).name))


def test_a_model_made_from_nothing_on_record_has_an_unknown_licence() -> None:
    assert proposed_license([]).identifier == "unknown"


def test_each_licence_is_in_one_class_and_each_spelling_leads_to_one() -> None:
    for one, other in combinations(Strictness, 2):
        assert not LICENSES[one] & LICENSES[other]
    known = {name for names in LICENSES.values() for name in names}
    assert known >= NOT_ON_THE_HUB
    assert set(SPELLINGS.values()) <= known
    assert all(license_identifier(name) == name for name in known), "the Hub's own identifiers are read as they are"


def test_creative_commons_are_classed_by_their_letters() -> None:
    for name in (one for names in LICENSES.values() for one in names if one.startswith("cc-by")):
        letters = name.split("-")[2:-1]
        expected = (
            Strictness.NON_COMMERCIAL if "nc" in letters
            else Strictness.USE_RESTRICTED if "nd" in letters
            else Strictness.SHARE_ALIKE if "sa" in letters
            else Strictness.PERMISSIVE
        )  # fmt: skip
        assert strictness_of(name) is expected, name
