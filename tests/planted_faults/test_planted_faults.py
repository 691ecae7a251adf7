"""Every planted fault is caught by its own id, at its own severity, and nothing else is said."""

from collections import Counter
from contextlib import nullcontext

import pytest

from pipelines.records.finding import Severity
from tests.planted_faults.examined import examined, without_hub_token
from tests.planted_faults.families import Family
from tests.planted_faults.faults import FAULTS
from tests.planted_faults.pair import write_pair


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.id}: {fault.name}")
def test_a_planted_fault_is_caught_by_its_id_and_nothing_else_is_said(fault, bases, tmp_path):
    pair = fault.pair()
    recipe = write_pair(pair, tmp_path, bases[fault.family])
    with without_hub_token() if pair.keys.get("push_to_hub") else nullcontext():
        findings = examined(recipe, pair.stage)
    said = {one.id: one.severity for one in findings if one.severity is not Severity.NOTE}
    assert said.pop(fault.id, None) is fault.severity
    assert said.keys() <= fault.also.keys(), [one.summary for one in findings if one.id in said]
    (found,) = [one for one in findings if one.id == fault.id and one.severity is fault.severity]
    assert found.summary
    assert found.remedy
    assert found.n_rows is None or found.evidence, "the rows are named"


def test_there_are_enough_faults_over_all_families():
    assert len({fault.id for fault in FAULTS}) >= 25
    assert min(Counter(fault.family for fault in FAULTS)[family] for family in Family) >= 8


def test_each_fault_has_its_own_name():
    assert len({(fault.id, fault.name) for fault in FAULTS}) == len(FAULTS)
