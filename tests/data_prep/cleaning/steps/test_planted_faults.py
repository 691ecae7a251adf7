"""Every step finds the fault that it is for, and nothing in clean rows."""

import pytest

from tests.benchmarks.data_prep.cleaning_rejects import row_steps
from tests.data_prep.cleaning.steps.planted import FAULTS, clean_rows, false_positives, recall

N_ROWS = 50


@pytest.mark.parametrize(("name", "options", "plant"), [fault[1:] for fault in FAULTS], ids=[one[1] for one in FAULTS])
def test_a_step_finds_95_percent_of_planted_faults_and_no_clean_row(name, options, plant):
    step = row_steps()[name]
    function = step.make(step.options(**options))
    rows = clean_rows(200)
    assert false_positives(function, rows) == []
    assert recall(function, [row for row in rows if not row["output"].isascii()][:N_ROWS], plant) >= 0.95
