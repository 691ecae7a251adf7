"""A local server with the part of the Hub's API that this project uses, and with planted faults."""

from tests.hub_server.repositories import Repository
from tests.hub_server.server import Fault, LocalHub, ask_from_this_process
