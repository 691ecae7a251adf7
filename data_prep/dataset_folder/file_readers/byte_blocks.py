"""Read a file as blocks of bytes: plain, or decompressed from gzip, zstd or xz, in bounded memory."""

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from data_prep.dataset_folder.file_readers.bad_rows import UnreadableFile

BLOCK_BYTES = 1 << 20
MAX_EXPANSION = 200  # text compresses 3 to 30 times; gzip reaches 1,000 on one repeated byte
_MAX_XZ_MEMORY = 256 << 20  # the highest preset needs 65 MB
_NAMES = {".gz": "gzip", ".zst": "zstd", ".xz": "xz"}
COMPRESSED_SUFFIXES = tuple(_NAMES)


def is_compressed(path: Path) -> bool:
    """Whether the name ends in `.gz`, `.zst` or `.xz`."""
    return path.suffix.lower() in COMPRESSED_SUFFIXES


def byte_blocks(path: Path, max_row_bytes: int, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed; `start` and `stop` are for plain files.

    Raises `UnreadableFile` if the file cannot be opened, is no valid compressed data, or expands to more than
    `max_row_bytes` and `MAX_EXPANSION` times its size, as a decompression bomb does.
    """
    try:
        with path.open("rb") as file:
            if is_compressed(path):
                yield from _decompressed(file, path, max_row_bytes)
            else:
                file.seek(start)
                yield from _plain(file, None if stop is None else stop - start)
    except OSError as error:
        raise cannot_read(path, error) from error


def cannot_read(path: Path, error: OSError) -> UnreadableFile:
    """Return the error for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return UnreadableFile(f"{path} does not exist", "check the path", reason="missing_file")
    problem = f"cannot read {path}: {(error.strerror or str(error)).lower()}"
    return UnreadableFile(problem, "check the file and its rights", reason="cannot_be_opened")


def _plain(file: IO[bytes], n_bytes: int | None) -> Iterator[bytes]:
    left = n_bytes
    while block := file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        yield block
        left = None if left is None else left - len(block)


def _decompressed(file: IO[bytes], path: Path, max_row_bytes: int) -> Iterator[bytes]:
    name, n_bytes = _NAMES[path.suffix.lower()], 0
    limit = max(max_row_bytes, MAX_EXPANSION * path.stat().st_size)
    blocks = _xz_blocks(file) if name == "xz" else _pyarrow_blocks(path, name)
    try:
        for block in blocks:
            n_bytes += len(block)
            if n_bytes > limit:
                problem = f"{path} expands to over {MAX_EXPANSION} times its size, like a decompression bomb"
                fix = "decompress it yourself if its contents are right"
                raise UnreadableFile(problem, fix, reason=f"expands_over_{MAX_EXPANSION}_times")
            yield block
    except (OSError, EOFError, lzma.LZMAError) as error:
        problem = f"{path} is not {name} data: {str(error).lower()}"
        raise UnreadableFile(problem, "download or compress it again", reason=f"not_{name}") from error
    if n_bytes == 0 and path.stat().st_size == 0:
        problem = f"{path} is not {name} data: it is empty"
        raise UnreadableFile(problem, "download or compress it again", reason=f"not_{name}")


def _pyarrow_blocks(path: Path, name: str) -> Iterator[bytes]:
    """gzip and zstd; the package zstandard would not report a file that ends in the middle."""
    import pyarrow

    with pyarrow.OSFile(str(path)) as file, pyarrow.CompressedInputStream(file, name) as opened:
        while block := opened.read(BLOCK_BYTES):
            yield block


def _xz_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Like `lzma.LZMAFile`, which has no memory limit."""
    data = file.read(BLOCK_BYTES)
    while data:
        decompressor = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)
        while not decompressor.eof:
            if decompressor.needs_input and not (data := data or file.read(BLOCK_BYTES)):
                raise EOFError("it ends in the middle")
            if block := decompressor.decompress(data, BLOCK_BYTES):
                yield block
            data = b""
        # other streams, and padding with zeros, may follow
        data = decompressor.unused_data.lstrip(b"\0") or file.read(BLOCK_BYTES).lstrip(b"\0")
