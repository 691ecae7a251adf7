"""Code runs only if the sandbox works; otherwise the error is one line that names the fix."""

import platform
from pathlib import Path
from typing import Any

import pytest

from pipelines import compare
from pipelines.errors import UserError
from pipelines.evaluation.code_execution import sandbox
from pipelines.evaluation.code_execution.execution import run_texts
from pipelines.evaluation.code_execution.sandbox import Outcome, RunLimits, run_sources

LIMITS = RunLimits(seconds=1.0)


@pytest.fixture(autouse=True)
def untried() -> None:
    sandbox.refuse_unless_sandboxed.cache_clear()


def put_bwrap(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `script` the only bwrap."""
    (folder / "bwrap").write_text(f"#!/bin/bash\n{script}\n")
    (folder / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_without_bwrap_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"bwrap is not installed; install it: apt install .*dnf install .*pacman -S"):
        run_texts([f"open({str(tmp_path / 'ran')!r}, 'w')"], [None])
    assert list(tmp_path.iterdir()) == []
    flags = [
        "--base", "none", "--instruct", "none", "--prompts", "none", "--output", str(tmp_path / "out"), "--run_code",
    ]  # fmt: skip
    with pytest.raises(UserError, match="bwrap is not installed"):  # before models and prompts are looked at
        compare.main(flags)


def test_another_system_is_refused(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(UserError, match=r"--run_code needs Linux on x86_64 or aarch64, this is \w+ on riscv64"):
        sandbox.refuse_unless_sandboxed()


def test_forbidden_namespaces_are_reported_in_the_words_of_bwrap(tmp_path, monkeypatch):
    put_bwrap(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1", monkeypatch)
    with pytest.raises(UserError, match="bwrap: No permissions to create new namespace; allow user namespaces"):
        sandbox.refuse_unless_sandboxed()
    with pytest.raises(UserError, match="bwrap did not start the sandbox"):  # an error, and no failed answer
        run_sources({"answer": "x = 1"}, LIMITS)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(("removed", "added", "problem"), [
    ("--unshare-net", "", "reach the network"), ("--clearenv", "", "read the environment"),
    ("--remount-ro /", "--chmod 0777 /", "write outside /tmp"),
    ("", "--ro-bind /etc /etc", "read files of this machine"), ("", "--proc /proc", "see other processes"),
])  # fmt: skip
def test_the_probe_sees_each_protection_that_is_missing(removed, added, problem, monkeypatch):
    """A bwrap that leaves one option out, or has one more."""
    command = sandbox._bwrap_command

    def changed(*arguments: Any) -> list[str]:
        *words, runner = command(*arguments)
        kept = f" {' '.join(words[1:])} ".replace(f" {removed} " if removed else "\n", " ", 1).split()
        return ["bwrap", *added.split(), *kept, runner]

    monkeypatch.setattr(sandbox, "_bwrap_command", changed)
    monkeypatch.setenv("HUSH", "1")
    with pytest.raises(UserError, match=f"does not isolate programs on this machine: AssertionError.*{problem}"):
        sandbox.refuse_unless_sandboxed()


@pytest.mark.usefixtures("sandbox")
def test_a_limit_on_processes_that_does_not_hold_is_seen(monkeypatch):
    monkeypatch.setattr(
        sandbox, "_RUNNER", sandbox._RUNNER.replace('RLIMIT_NPROC: limits["n_threads"]', "RLIMIT_NPROC: 999")
    )
    with pytest.raises(UserError, match="start any number of threads"):
        sandbox.refuse_unless_sandboxed()


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "call",
    ["libc.fork()", "libc.ptrace(0, 0, 0, 0)", "libc.unshare(0x10000000)", "libc.syscall({nr}, 0, 0, 0, 0, 0, 0)"],
    ids=["fork", "ptrace", "unshare", "process_vm_readv"],
)
def test_the_filter_refuses_calls_that_reach_other_processes(call, monkeypatch):
    """By ctypes, which the audit hook would end: the filter holds without it."""
    monkeypatch.setattr(sandbox, "_RUNNER", sandbox._RUNNER.replace("sys.addaudithook(_audit_hook())", ""))
    number = {"x86_64": 310, "aarch64": 270}[platform.machine()]
    code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    code += f"result = {call.format(nr=number)}\nassert (result, ctypes.get_errno()) == (-1, 1), result"
    assert run_sources({"answer": code}, LIMITS).runs


@pytest.mark.usefixtures("sandbox")
def test_code_that_ignores_its_alarm_is_stopped():
    code = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
    assert run_sources({"answer": code}, LIMITS).outcome == Outcome.TIMEOUT
