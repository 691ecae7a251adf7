"""A disk that takes no more: what libraries raise then."""

import errno
import os
import re
import shutil
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_GB = 1e9
# safetensors and tokenizers: "No space left on device (os error 28)"; Arrow: "Detail: [errno 28] No space left"
_NUMBER = re.compile(r"\(os error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)
# torch.save and NumPy find fewer bytes in the file than they wrote, and do not say why
_CUT = re.compile(r"inline_container\.cc|PytorchStreamWriter|requested and \d+ written")


def disk_fault(error: BaseException) -> str | None:
    """Why the disk took no more, if that is what `error` says, as the system words it; None for another error."""
    said, numbers = str(error), [getattr(error, "errno", None)]
    numbers += [int(one or other) for one, other in _NUMBER.findall(said)]
    known = next((number for number in numbers if number in _FULL), None)
    if known is not None:
        return os.strerror(known).lower()
    return "not all bytes were written, as on a full disk" if _CUT.search(said) else None


def free_space(folder: Path) -> str:
    """What is free on the disk of `folder`, or of its nearest parent, for a message."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return f"{gigabytes(shutil.disk_usage(there).free)} free"


def gigabytes(n_bytes: float) -> str:
    """Bytes for a message, in MB below one GB."""
    return f"{n_bytes / _GB:,.2f} GB" if n_bytes >= _GB else f"{n_bytes / 1e6:.3g} MB"
