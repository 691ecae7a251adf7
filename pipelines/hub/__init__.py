"""The Hub: who may write where, what of a run is published and what never, and sending it so that it arrives."""

from pipelines.hub.access import Answer, HubAccess, hub_access, name_fault, repository_name
from pipelines.hub.base import HubBase, hub_base
from pipelines.hub.local_paths import without_local_paths
from pipelines.hub.outgoing import OutgoingFile, is_adapter
from pipelines.hub.overwrite_guard import refuse_foreign
from pipelines.hub.repository import Branch, Repository, refuse_bad_name, writable_repository
from pipelines.hub.retry import Patience
from pipelines.hub.secret_scan import refuse_leaks
from pipelines.hub.upload import offline_plan_lines, plan_lines, send
from pipelines.hub.upload_plan import MAIN, Parcel, Run, checkpoint_card, refuse_other_comparison, refuse_other_merge

__all__ = [
    "MAIN",
    "Answer",
    "Branch",
    "HubAccess",
    "HubBase",
    "OutgoingFile",
    "Parcel",
    "Patience",
    "Repository",
    "Run",
    "checkpoint_card",
    "hub_access",
    "hub_base",
    "is_adapter",
    "name_fault",
    "offline_plan_lines",
    "plan_lines",
    "refuse_bad_name",
    "refuse_foreign",
    "refuse_leaks",
    "refuse_other_comparison",
    "refuse_other_merge",
    "repository_name",
    "send",
    "without_local_paths",
    "writable_repository",
]
