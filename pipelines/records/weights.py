"""A hash of weights by the values of the tensors, independent of the safetensors files that hold them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BYTES_AT_ONCE = 1 << 24
_PATTERNS = ("adapter_model*.safetensors", "model*.safetensors")  # an adapter's folder has no model of its own


def weights_sha256(folder: Path) -> str | None:
    """`sha256:...` over name, dtype, shape and bytes of each tensor of the adapter or model in `folder`, by name.

    None if the folder holds neither. A file's metadata and the size of shards do not matter.
    """
    files = next((found for pattern in _PATTERNS if (found := sorted(folder.glob(pattern)))), [])
    tensors = sorted((name, place, facts) for place in files for name, facts in _header(place).items())
    digest = hashlib.sha256()
    for name, place, facts in tensors:
        digest.update(json.dumps([name, facts["dtype"], facts["shape"]]).encode())
        for part in _bytes_of(place, *facts["data_offsets"]):
            digest.update(part)
    return f"sha256:{digest.hexdigest()}" if files else None


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """What safetensors writes first: the length of a JSON object in eight bytes, then it, with each tensor's place."""
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: facts for name, facts in header.items() if name != "__metadata__"}


def _bytes_of(path: Path, begin: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little") + begin)
        left = end - begin
        while left and (part := file.read(min(left, _BYTES_AT_ONCE))):
            left -= len(part)
            yield part
