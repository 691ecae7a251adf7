"""A recipe before the doctor, in this process: as pipelines/doctor.py examines it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from pipelines.preflight.captured_errors import config_findings
from pipelines.preflight.check_context import Stage
from pipelines.preflight.run_checks import run_checks
from pipelines.recipe.parsing import parse_leniently
from pipelines.recipe.stages import ARGUMENTS
from pipelines.records.finding import Finding
from tests.run_files import with_bfloat16


def examined(recipe: Path, stage: Stage) -> tuple[Finding, ...]:
    """All findings about `recipe`."""
    with with_bfloat16():
        parsed, faults = parse_leniently(ARGUMENTS[stage], ["--config", str(recipe)])
        return run_checks(parsed, stage, earlier_findings=config_findings(faults)).findings


@contextmanager
def without_hub_token() -> Iterator[None]:
    """As for a user who is not logged in: without a token the doctor asks no server, so it may be thought online."""
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    with (
        patch.dict(os.environ),
        patch("huggingface_hub.constants.HF_TOKEN_PATH", str(Path("no-token"))),
        patch("huggingface_hub.constants.HF_HUB_OFFLINE", False),
    ):
        for name in names:
            os.environ.pop(name, None)
        yield
