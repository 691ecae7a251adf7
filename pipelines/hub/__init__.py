"""The Hub: who may write where, what of a run is published and what never, and sending it so that it arrives."""

from pipelines.hub.access import Answer, HubAccess, hub_access, name_fault, repository_name
from pipelines.hub.base import HubBase, hub_base
from pipelines.hub.leaks import refuse_leaks
from pipelines.hub.outgoing import OutgoingFile, run_files, weight_files
from pipelines.hub.repository import Branch, Repository, writable_repository
from pipelines.hub.retrying import Patience
from pipelines.hub.sending import Parcel, plan_lines, send

__all__ = [
    "Answer",
    "Branch",
    "HubAccess",
    "HubBase",
    "OutgoingFile",
    "Parcel",
    "Patience",
    "Repository",
    "hub_access",
    "hub_base",
    "name_fault",
    "plan_lines",
    "refuse_leaks",
    "repository_name",
    "run_files",
    "send",
    "weight_files",
    "writable_repository",
]
