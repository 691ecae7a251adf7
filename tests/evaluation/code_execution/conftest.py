"""Generated code runs only where the kernel can confine it; a kernel that could, and does not, fails these tests."""

import sys

import pytest

from pipelines.evaluation.code_execution.confined.system_calls import architecture


@pytest.fixture(scope="session")
def confining_machine() -> None:
    """Skip on a machine whose kernel has no Landlock, or whose processor has no table of system calls."""
    if not sys.platform.startswith("linux") or architecture() is None:
        pytest.skip("generated code is confined on Linux only, on x86_64 or aarch64")
    from pipelines.evaluation.code_execution.confined.kernel import landlock_version

    if not landlock_version():
        pytest.skip("this kernel has no Landlock")
