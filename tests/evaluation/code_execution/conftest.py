"""Generated code runs only in the sandbox: without bubblewrap these tests are skipped."""

import shutil

import pytest


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skip where bwrap is not installed; a bwrap that does not work fails the tests."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap (bwrap) is not installed")
