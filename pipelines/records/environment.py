"""What a result depends on besides its inputs: package versions, machine, commit."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.files import sha256_of_text
from pipelines.files.service_keys import HUB_TOKEN, find_service_keys

_PACKAGES = (
    "base2instruct", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "evaluate", "tokenizers",
    "numpy", "safetensors", "bitsandbytes",
)  # fmt: skip

_ROOT = Path(__file__).resolve().parents[2]
_MAX_DIFF_BYTES = 200_000
_OTHER_TOKEN = re.compile(r"_(?:token|key|secret)\s*[:=]\s*['\"]?[A-Za-z0-9+/_-]{20}")


@cache  # reading a package's metadata takes 20 ms
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {package: version for package in _PACKAGES if (version := _version(package)) is not None}
    return {"python": platform.python_version(), **found}


def describe_machine() -> dict[str, Any]:
    """System, processor and cores that this process may use, and the accelerators if torch is loaded already."""
    torch = sys.modules.get("torch")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch else []
    return {
        "system": platform.system(),
        "processor": _processor(),
        "n_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        # sums are split among threads, so their number is in the last bits of a result on a CPU
        **({"n_threads": torch.get_num_threads()} if torch else {}),
        "accelerators": devices,
    }


def git_commit() -> str | None:
    """The commit of this checkout, with `+changes` if tracked files differ from it; None outside a checkout."""
    try:
        commit = _git(_ROOT, "rev-parse", "HEAD")
        return f"{commit}+changes" if _git(_ROOT, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def git_state(root: Path = _ROOT) -> dict[str, str | None]:
    """The commit of the checkout at `root` and how its tracked files differ from it: the hash of the diff, and the diff
    unless it is longer than 200 kB or holds what looks like an access token. All None outside a checkout."""
    try:
        commit, diff = _git(root, "rev-parse", "HEAD"), _git(root, "diff", "--binary", "--no-ext-diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "diff_sha256": None, "diff": None}
    told = len(diff.encode()) <= _MAX_DIFF_BYTES and not _holds_token(diff)
    return {
        "commit": commit,
        "diff_sha256": sha256_of_text(diff) if diff else None,
        "diff": diff or None if told else None,
    }


def _holds_token(text: str) -> bool:
    return bool(HUB_TOKEN.search(text) or _OTHER_TOKEN.search(text) or next(find_service_keys(text), None))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
