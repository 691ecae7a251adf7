"""A local server that speaks the Hub's HTTP API as the real huggingface_hub client uses it, with faults on request."""

from tests.hub_server.faults import Fault
from tests.hub_server.server import LocalHub
from tests.hub_server.storage import Commit, Repository, StoredFile
from tests.hub_server.this_process import ask_from_this_process

__all__ = ["Commit", "Fault", "LocalHub", "Repository", "StoredFile", "ask_from_this_process"]
