"""Convert a merged model folder to one GGUF file with llama.cpp's own converter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.errors import UserError

_CONVERTER = "convert_hf_to_gguf.py"


def find_converter() -> Path:
    """llama.cpp's converter in $LLAMA_CPP_DIR, else on the PATH. Raises `UserError` with how to install it."""
    folder = os.environ.get("LLAMA_CPP_DIR")
    found = str(Path(folder) / _CONVERTER) if folder else shutil.which(_CONVERTER)
    if found is None or not Path(found).is_file():
        raise UserError(
            f"--gguf needs llama.cpp's {_CONVERTER} in $LLAMA_CPP_DIR or on the PATH, and there is none",
            "run `git clone https://github.com/ggml-org/llama.cpp && pip install sentencepiece` and set "
            "LLAMA_CPP_DIR=llama.cpp",
        )
    return Path(found)


def write_gguf(converter: Path, folder: Path, file: Path) -> None:
    """Convert the model in `folder` to `file` without changing the type of its weights.

    Raises `UserError` with the converter's last line if it fails: it supports fewer models than transformers.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(converter), str(folder), "--outfile", str(file), "--outtype", "auto"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or not file.is_file():
        file.unlink(missing_ok=True)
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise UserError(
            f"{converter.name} did not write {file}: {last[0][:300]}",
            f"the merged model in {folder} is complete; convert it by hand, or update llama.cpp",
        )
