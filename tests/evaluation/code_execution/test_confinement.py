"""Nothing runs unless every protection was seen to hold: each probe sees its own missing, each missing one refuses."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.evaluation.code_execution import confinement, probes, refuse_unless_confined, workers
from pipelines.evaluation.code_execution.workers import nurseries

pytestmark = pytest.mark.usefixtures("confining_machine")

PROJECT = Path(__file__).resolve().parents[3]
# These hold by the nursery that watches, whatever the child may do.
WATCHED = {"could not do what it may", "could run on", "could read the environment"}

# Has the kernel refuse one call of this process and all it starts, as a kernel without it would.
WITHOUT = """
import sys
from pipelines.errors import UserError
from pipelines.evaluation.code_execution import refuse_unless_confined, run_texts
from pipelines.evaluation.code_execution.confined import kernel
number, argument = map(int, sys.argv[1:])
refuse = (0x06, 0, 0, 0x00050000 | 38)
matching = [(0x20, 0, 0, 16), (0x15, 0, 1, argument), refuse] if argument else [refuse]
allow = (0x06, 0, 0, 0x7FFF0000)
kernel.forbid_new_privileges()
kernel.install_filter([(0x20, 0, 0, 0), (0x15, 0, len(matching), number), *matching, allow])
for attempt in (refuse_unless_confined, lambda: run_texts(["open('ran', 'w')"], [None])):
    try:
        attempt()
    except UserError as error:
        print(error)
"""


def test_this_machine_confines_and_says_how() -> None:
    refuse_unless_confined()
    found = confinement()
    assert found[0].startswith("filter of system calls (seccomp)")
    assert found[1].startswith("rules on paths (Landlock")


@pytest.mark.parametrize(
    ("call", "argument", "words"),
    [
        ("landlock_create_ruleset", (444, 0), "a kernel without Landlock"),
        ("landlock_restrict_self", (446, 0), "a kernel that refused to shut code in (Function not implemented)"),
        ("prctl(PR_SET_SECCOMP)", ({"x86_64": 157, "aarch64": 167}, 22), "a kernel that refused to shut code in"),
    ],
)
def test_a_kernel_without_a_protection_is_refused(
    call: str, argument: tuple[int | dict[str, int], int], words: str, tmp_path: Path
) -> None:
    number = argument[0][platform.machine()] if isinstance(argument[0], dict) else argument[0]
    command = [sys.executable, "-c", WITHOUT, str(number), str(argument[1])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, (call, done.stderr)
    refusals = done.stdout.splitlines()
    assert len(refusals) == 2
    for line in refusals:
        assert f"got {words}" in line
        assert "leave --run_code off" in line
    assert list(tmp_path.iterdir()) == []


def test_every_probe_sees_that_its_protection_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same probes on a nursery whose children are not shut in: harmless ones, on a victim made for them."""
    source = Path(workers.__file__).parent / "confined"
    copied = shutil.copytree(source, tmp_path / "confined", ignore=shutil.ignore_patterns("__pycache__"))
    nursery = copied / "nursery.py"
    call = 'confine(folder, libraries, request["limits"], user)'
    assert call in nursery.read_text()
    nursery.write_text(nursery.read_text().replace(call, "os.chdir(folder)"))
    monkeypatch.setattr(workers, "_HERE", tmp_path)
    shared_memory = Path(f"/dev/shm/{probes.PROBE_FILE}")
    seen: set[str] = set()
    passed: set[str] = set()
    with nurseries(1) as (worker,):
        for place, _ in enumerate(probes.probes_of(tmp_path / "victim.txt")):
            folder = tmp_path / str(place)
            folder.mkdir()
            victim = folder / "victim.txt"
            victim.write_text("untouched")
            probe = probes.probes_of(victim)[place]
            (seen if probes.failure_of(worker, probe) else passed).add(probe.fault)
    shared_memory.unlink(missing_ok=True)
    assert seen == {probe.fault for probe in probes.probes_of(tmp_path)} - WATCHED
    # A kernel may lack a family of sockets of its own accord.
    assert passed - {"could open sockets"} == WATCHED
