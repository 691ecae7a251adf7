"""Read a file as blocks of bytes: plain, or decompressed from gzip, zstd or xz, in bounded memory."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

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

    Raises `UnreadableFile` if the file is missing, is no valid compressed data, or expands like a decompression bomb.
    """
    try:
        with path.open("rb") as file:
            if is_compressed(path):
                yield from _decompressed(file, path, max_row_bytes)
            else:
                file.seek(start)
                yield from _plain(file, None if stop is None else stop - start)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UnreadableFile(f"{path} does not exist", "check the path", reason="missing_file") from error
    except PermissionError as error:
        raise UnreadableFile(
            f"cannot read {path}: permission denied", "check its rights", reason="no_access"
        ) from error


def _plain(file: IO[bytes], n_bytes: int | None) -> Iterator[bytes]:
    left = n_bytes
    while block := file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        yield block
        left = None if left is None else left - len(block)


def _decompressed(file: IO[bytes], path: Path, max_row_bytes: int) -> Iterator[bytes]:
    import zstandard

    suffix, n_bytes = path.suffix.lower(), 0
    try:
        for block in _OPENERS[suffix](file):
            n_bytes += len(block)
            if n_bytes > max(max_row_bytes, MAX_EXPANSION * file.tell()):
                problem = f"{path} expands to over {MAX_EXPANSION} times its size, like a decompression bomb"
                fix = "decompress it yourself if its contents are right"
                raise UnreadableFile(problem, fix, reason=f"expands_over_{MAX_EXPANSION}_times")
            yield block
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        name = _NAMES[suffix]
        problem = f"{path} is not {name} data: {str(error).lower()}"
        raise UnreadableFile(problem, "download or compress it again", reason=f"not_{name}") from error


def _gzip_blocks(file: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as opened:
        while block := opened.read1(BLOCK_BYTES):
            yield block


def _zstd_blocks(file: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    size = zstandard.DECOMPRESSION_RECOMMENDED_INPUT_SIZE
    with zstandard.ZstdDecompressor().stream_reader(file, size, read_across_frames=True, closefd=False) as opened:
        while block := opened.read(BLOCK_BYTES):
            yield block
    if file.tell() == 0:
        raise EOFError("the file is empty")


def _xz_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Like `lzma.LZMAFile`, which has no memory limit."""
    data = b""
    decompressor: Any = None
    while data := data or file.read(BLOCK_BYTES):
        if decompressor is None:
            data = data.lstrip(b"\0")  # padding between two streams
            decompressor = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)
        while not decompressor.eof:
            if block := decompressor.decompress(data, BLOCK_BYTES):
                yield block
            data = b""
            if decompressor.needs_input and not decompressor.eof and not (data := file.read(BLOCK_BYTES)):
                raise EOFError("the data ends in the middle")
        data, decompressor = decompressor.unused_data, None


_OPENERS: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    ".gz": _gzip_blocks, ".zst": _zstd_blocks, ".xz": _xz_blocks,
}  # fmt: skip
