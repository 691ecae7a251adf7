"""Which license a card proposes, and the warnings that it prints."""

import re

import pytest

from pipelines.report.model_card.licenses import PERMISSIVE, WITH_TERMS, Work, license_identifier, proposed_license


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        ("MIT License", "mit"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("Apache Software License", "apache-2.0"),
        ("BSD 3-Clause License", "bsd-3-clause"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", "gpl-3.0"),
        ("MIT AND CC-BY-NC-4.0", "cc-by-nc-4.0"),
        ("GPL-3.0-only OR MIT AND Apache-2.0", "mit"),
        ("PSF-2.0", "psf-2.0"),
        ("MIT (GPT-4 output)", "other"),
        ("mit, cc-by-nc-4.0", "other"),
        ("Tongyi Qianwen", "other"),
        ("unknown", "unknown"),
        ("  ", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_stated_license_has_an_identifier(stated, identifier):
    assert license_identifier(stated) == identifier


def test_the_hubs_own_identifiers_are_kept():
    assert not PERMISSIVE & WITH_TERMS
    assert all(license_identifier(name) == name for name in PERMISSIVE | WITH_TERMS)
    creative = {name for name in PERMISSIVE if name.startswith("cc-by")}
    assert not any(letters in name for name in creative for letters in ("nc", "nd", "sa"))


@pytest.mark.parametrize(
    ("base", "data", "proposed", "warnings"),
    [
        ("apache-2.0", ["mit"], "apache-2.0", []),
        ("psf-2.0", ["mit"], "other", []),
        ("apache-2.0", ["cc-by-sa-3.0"], "cc-by-sa-3.0", ["Read the terms: cc-by-sa-3.0 (data 0)."]),
        ("apache-2.0", ["cc-by-nc-4.0"], "cc-by-nc-4.0", ["Not for commercial use: cc-by-nc-4.0 (data 0).", "Read"]),
        ("llama3", ["mit"], "llama3", ["Read the terms: llama3 (the base)."]),
        ("llama3", ["cc-by-nc-4.0"], "other", ["Not for commercial use: cc-by-nc-4.0 (data 0).", "Several licenses"]),
        ("gpl-3.0", ["cc-by-sa-4.0"], "other", ["Several licenses with terms: gpl-3.0 (the base) and cc-by-sa-4.0"]),
        ("mit", [None], "unknown", ["License unknown: none was recorded for data 0."]),
        (None, ["cc-by-nc-4.0"], "unknown", ["Not for commercial use", "License unknown", "Read the terms"]),
        ("my own terms", ["mit"], "other", ["Read the terms: my own terms (the base)."]),
        ("mit", ["mit, cc-by-nc-4.0"], "other", ["Not for commercial use: mit, cc-by-nc-4.0 (data 0).", "Read"]),
        ("Acme Non-Commercial 1.0", ["apple-amlr"], "other", ["Not for commercial use: Acme", "Several licenses"]),
    ],
)
def test_the_stricter_license_is_proposed_with_warnings(base, data, proposed, warnings):
    works = [Work("the base", base), *(Work(f"data {number}", one) for number, one in enumerate(data))]
    found = proposed_license(works)
    assert found.identifier == proposed
    assert len(found.warnings) == len(warnings), found.warnings
    assert all(one.startswith(start) for one, start in zip(found.warnings, warnings, strict=True)), found.warnings
    assert (found.name is not None) == (proposed == "other")


def test_names_of_other_licenses_are_joined():
    assert proposed_license([Work("a", "llama3"), Work("b", "gemma")]).name == "llama3-and-gemma"
    assert re.fullmatch("b-x{40,60}", str(proposed_license([Work("a", "<b>\n---\n" + "x" * 500)]).name))


def test_a_model_made_from_nothing_on_record_has_an_unknown_license():
    assert proposed_license([]).identifier == "unknown"
