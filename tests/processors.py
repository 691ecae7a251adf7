"""A processor with bfloat16 arithmetic for tests that compute nothing: what the doctor says depends on it."""

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from pipelines.recipe import precision
from pipelines.recipe.precision import Arithmetic


def with_bfloat16() -> AbstractContextManager[Any]:
    """This process finds bfloat16 arithmetic and none of float16, whatever its processor has."""
    found = {
        "bfloat16": Arithmetic("bfloat16", "this processor", in_hardware=True, times_float32=0.5),
        "float16": Arithmetic("float16", "this processor", in_hardware=False, times_float32=40.0),
    }
    return patch.object(precision, "arithmetic", lambda dtype, **_: found[dtype])
