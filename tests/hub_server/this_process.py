"""The real client of this process, turned to a local Hub."""

import pytest
from huggingface_hub import constants

from tests.hub_server.server import LocalHub


def ask_from_this_process(hub: LocalHub, patch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub, which reads its environment at import, ask `hub` until `patch` is undone."""
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
