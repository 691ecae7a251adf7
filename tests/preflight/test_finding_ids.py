"""Every finding has one name, a line in the README, and a test or a planted fault that shows it."""

import re

from tests.conftest import PROJECT
from tests.planted_faults.faults import FAULTS

ID = re.compile(r'(?<![\w.])"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"')
ROOMS = ("pipelines/preflight", "pipelines/postflight", "pipelines/modeling", "pipelines/training")
README = (PROJECT / "pipelines/preflight/README.md").read_text()
IN_README = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", README))
OF_THE_ENVIRONMENT = ("HF_", "NO_COLOR", "ACCELERATE_", "TRACKIO_", "SC_", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
IN_CODE = {
    name
    for room in ROOMS
    for path in (PROJECT / room).rglob("*.py")
    for name in ID.findall(path.read_text())
    if not name.startswith(OF_THE_ENVIRONMENT)
}
PLANTED = {fault.id for fault in FAULTS}
TESTS = "\n".join(
    path.read_text()
    for folder in ("tests/preflight", "tests/postflight")
    for path in (PROJECT / folder).rglob("*.py")
    if path.name != "test_finding_ids.py"
)


def test_the_readme_names_all_findings_and_no_other():
    assert len(IN_CODE) > 60
    assert IN_README == IN_CODE


def test_every_finding_is_in_a_test_or_planted():
    assert [name for name in sorted(IN_CODE) if f'"{name}"' not in TESTS and name not in PLANTED] == []
