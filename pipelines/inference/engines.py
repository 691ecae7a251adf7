"""What generates answers: transformers in this process, or vLLM."""

import importlib.util
from enum import StrEnum

from pipelines.errors import UserError


class Engine(StrEnum):
    """TRANSFORMERS runs everywhere and repeats itself; VLLM is faster on a GPU, see `vllm_engine`."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"


def refuse_missing(engine: Engine) -> None:
    """Raise `UserError` if `engine` is not installed: before a model is loaded for it."""
    if engine is Engine.VLLM and importlib.util.find_spec("vllm") is None:
        raise UserError(
            expected="the package vllm for --engine vllm",
            got="none installed",
            remedy="install the extra, pip install -e '.[vllm]', or leave --engine out",
        )
