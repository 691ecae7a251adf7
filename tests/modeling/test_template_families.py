"""Each family's template is rendered right, or refused for the true reason: no turn of any column is silently wrong."""

from pathlib import Path

import pytest

from tests.modeling.template_families import COLUMNS, FAMILIES, OF_TRL, TRL, verdict


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_right_or_refused_for_the_true_reason(name: str, tmp_path: Path) -> None:
    found = {column: verdict(name, column, tmp_path) for column in COLUMNS}
    assert {column: text for column, text in found.items() if not text.startswith(("right", "refused: "))} == {}
    for column, text in found.items():
        assert text.startswith("refused") == FAMILIES[name].expected(column).startswith("!")


def test_every_template_that_trl_ships_is_in_the_table() -> None:
    plain = {path.stem for path in TRL.glob("*.jinja") if not path.stem.endswith("_training")}
    assert plain == OF_TRL.keys()
    assert len(FAMILIES) >= 40
