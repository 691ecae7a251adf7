"""GGUF files of a folder, written by llama.cpp's converter in this process: another one would import torch again."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipelines.merging.gguf.convert_here import convert
from pipelines.merging.gguf.converter import plan_conversion, request_of
from pipelines.modeling import load_tokenizer


def save_gguf(folder: Path, file: Path, kind: str = "f32", **vocabulary: Any) -> Path:
    """Write `folder` as a GGUF file of type `kind`; fields of `GgufVocabulary` replace the right ones."""
    tokenizer = load_tokenizer(str(folder))
    plan = plan_conversion(tokenizer, ["LlamaForCausalLM"], [tokenizer.eos_token_id])
    plan = replace(plan, vocabulary=replace(plan.vocabulary, **vocabulary))
    read_anew = [name for name in sys.modules if name.split(".")[0] in ("conversion", "gguf")]
    with patch.object(sys, "path", [*sys.path]), patch.object(sys, "argv", [*sys.argv]), patch.dict(sys.modules):
        for name in read_anew:
            del sys.modules[name]
        convert(request_of(plan, folder, file, kind))
    return file
