"""Every finding has one name, a line in the README, and a test or a planted fault that shows it."""

import re

import pytest

from tests.conftest import PROJECT

ID = re.compile(r'(?<![\w.])"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"')
ROOMS = ("pipelines/preflight", "pipelines/postflight", "pipelines/modeling", "pipelines/training")
README = (PROJECT / "pipelines/preflight/README.md").read_text()
IN_README = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", README))
OF_THE_ENVIRONMENT = ("HF_", "NO_COLOR", "ACCELERATE_", "TRACKIO_", "SC_")
IN_CODE = {
    name
    for room in ROOMS
    for path in (PROJECT / room).rglob("*.py")
    for name in ID.findall(path.read_text())
    if not name.startswith(OF_THE_ENVIRONMENT)
}
TESTS = "\n".join(
    path.read_text()
    for folder in ("tests/preflight", "tests/postflight", "tests/planted_faults")
    for path in (PROJECT / folder).rglob("*.py")
    if path.name != "test_finding_ids.py"
)


def test_the_readme_names_all_findings_and_no_other() -> None:
    assert len(IN_CODE) > 60
    assert IN_README == IN_CODE


@pytest.mark.parametrize("name", sorted(IN_CODE))
def test_a_finding_is_asked_for_in_a_test(name: str) -> None:
    assert f'"{name}"' in TESTS
