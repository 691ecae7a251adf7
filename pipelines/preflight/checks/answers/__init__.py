"""Checks of the answers: what is damaged, what is private."""

from types import ModuleType

from pipelines.preflight.checks.answers import privacy

ANSWER_MODULES: tuple[ModuleType, ...] = (privacy,)
