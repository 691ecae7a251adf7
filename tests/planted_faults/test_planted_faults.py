"""Every planted fault is caught by its own id, at its own severity, nothing else is said, and its remedies cure it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.records.finding import Finding, Severity
from tests.planted_faults.examined import examined, without_hub_token
from tests.planted_faults.families import Family
from tests.planted_faults.faults import FAULTS, PlantedFault
from tests.planted_faults.pair import Pair, write_pair
from tests.planted_faults.remedies import remedied_pairs


@dataclass(frozen=True)
class Examined:
    """A fault and what the doctor says of it; `again` examines another version of its pair."""

    fault: PlantedFault
    pair: Pair
    findings: Sequence[Finding]
    again: Callable[[Pair], Sequence[Finding]]

    @property
    def found(self) -> Finding:
        """The finding that must report the fault."""
        (found,) = [one for one in self.findings if (one.id, one.severity) == (self.fault.id, self.fault.severity)]
        return found


@pytest.fixture(scope="module", params=FAULTS, ids=lambda fault: f"{fault.id}: {fault.name}")
def planted(
    request: pytest.FixtureRequest, bases: Mapping[Family, Path], tmp_path_factory: pytest.TempPathFactory
) -> Examined:
    """Each fault, examined once for all tests."""
    fault: PlantedFault = request.param

    def again(pair: Pair) -> Sequence[Finding]:
        recipe = write_pair(pair, tmp_path_factory.mktemp("pair"), bases[fault.family])
        with without_hub_token() if pair.keys.get("push_to_hub") else nullcontext():
            return examined(recipe, pair.stage)

    pair = fault.pair()
    return Examined(fault, pair, again(pair), again)


def test_a_planted_fault_is_caught_by_its_id_and_nothing_else_is_said(planted):
    expected = (planted.fault.id, planted.fault.severity)
    alarms = [
        one for one in planted.findings if one.severity is not Severity.NOTE or (one.id, one.severity) == expected
    ]
    said = {one.id: one.severity for one in alarms}
    assert said.pop(planted.fault.id, None) is planted.fault.severity
    assert said.keys() <= planted.fault.also.keys(), [one.summary for one in planted.findings if one.id in said]
    assert planted.found.summary
    assert planted.found.remedy
    assert planted.found.n_rows is None or planted.found.evidence, "the rows are named"


def test_every_remedy_cures_its_fault_and_no_error_appears(planted):
    if planted.fault.cure_cannot:
        pytest.skip(planted.fault.cure_cannot)
    remedied = list(remedied_pairs(planted.pair, planted.found, planted.fault.cure))
    is_note = planted.fault.severity is Severity.NOTE
    assert remedied, f"no fix, no `key: value` and no cure for: {planted.found.remedy}"
    for one in remedied:
        left = {
            f"{finding.id} ({finding.severity}): {finding.summary}" for finding in planted.again(one.pair)
            if (finding.id == planted.fault.id and (finding.severity is not Severity.NOTE or is_note))
            or (finding.severity is Severity.ERROR and finding.id not in planted.fault.also)
        }  # fmt: skip
        assert not left, f"after {one.words}"


def test_there_are_enough_faults_over_all_families():
    assert len({fault.id for fault in FAULTS}) >= 25
    assert min(Counter(fault.family for fault in FAULTS)[family] for family in Family) >= 8


def test_each_fault_has_its_own_name():
    assert len({(fault.id, fault.name) for fault in FAULTS}) == len(FAULTS)
