"""Checks of the answers: what is damaged, what is private."""

from types import ModuleType

from pipelines.preflight.checks.answers import canned, cut_answers, markup, not_text, privacy, structured

ANSWER_MODULES: tuple[ModuleType, ...] = (markup, structured, not_text, canned, cut_answers, privacy)
