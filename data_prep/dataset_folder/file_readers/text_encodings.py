"""Find the encoding of text, and read it as UTF-8."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from data_prep.dataset_folder.file_readers.bad_rows import UnreadableFile

UTF8 = "utf-8"
# UTF-32 first: its mark begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF8, UTF8), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_LONGEST_MARK = max(len(mark) for mark, _ in _MARKS)
# what text is in that is not UTF-8; the others of Python make the choice less sure
_POSSIBLE = [
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "iso8859_2", "koi8_r", "cp932",
    "euc_jp", "gb18030", "big5", "cp949",
]  # fmt: skip
_WESTERN = frozenset("àâäáãåæçèéêëìíîïñòóôõöøœùúûüßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜ¿¡«»“”‘’„‚–—…€£$°§©®™·²³½¼×•\xa0")
_WESTERN_LANGUAGES = frozenset(
    ("en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "no", "nb", "nn", "fi", "ca", "gl", "eu", "af")
)
_FEW_BYTES, _ENOUGH_BYTES, _MAX_SAMPLE = 40, 500, 4 << 20
_ALIKE = 0.05  # a difference in charset-normalizer's measure of noise that does not decide
_STRING = re.compile(rb'[^"\n]*[\x80-\xff][^"\n]*')  # with text that is not ASCII, without quotes around it
_NOT_ASCII = bytes(range(128, 256))


@dataclass
class TextEncoding:
    """The encoding of a file; None until text that is not ASCII has been read."""

    name: str | None = None


def byte_order_mark(head: bytes) -> tuple[str, int] | None:
    """Return the encoding that the byte-order mark at the start of `head` names, and the mark's length."""
    return next(((encoding, len(mark)) for mark, encoding in _MARKS if head.startswith(mark)), None)


def is_wide(encoding: str) -> bool:
    """Whether each character takes two bytes or more."""
    return encoding.startswith(("utf-16", "utf-32"))


def utf8_blocks(blocks: Iterator[bytes], path: Path, encoding: TextEncoding | None = None) -> Iterator[bytes]:
    """Yield the text of `blocks` in UTF-8, without a byte-order mark and without empty blocks; `encoding` is found if
    its name is None.

    If the encoding is not sure, the bytes stay as they are. Raises `UnreadableFile` for broken UTF-16 and UTF-32.
    """
    return filter(None, _utf8_blocks(blocks, path, encoding or TextEncoding()))


def _utf8_blocks(blocks: Iterator[bytes], path: Path, encoding: TextEncoding) -> Iterator[bytes]:
    first = next(blocks, b"")
    while len(first) < _LONGEST_MARK and (more := next(blocks, b"")):
        first += more
    marked = byte_order_mark(first)
    if marked and encoding.name in (None, marked[0]):
        encoding.name, first = marked[0], first[marked[1] :]
    blocks = chain([first], blocks)
    while encoding.name is None:
        block = next(blocks, None)
        if block is None:
            return
        if block.isascii():
            yield block
        else:
            sample = _sample(block, blocks)
            encoding.name, blocks = encoding_of(sample) or UTF8, chain([sample], blocks)
    if encoding.name == UTF8:
        yield from blocks
    else:
        yield from _transcoded(blocks, encoding.name, path)


def encoding_of(sample: bytes) -> str | None:
    """Return the encoding of a text: UTF-8 also if some bytes are broken, None if it is not sure.

    It is sure if all encodings that fit about as well give the same text, or if Windows-1252 does and gives a language
    of Western Europe with its usual characters. (As Windows-1252, Hungarian is the wrong text with few signs of it.)
    """
    text = sample.decode(UTF8, "replace")
    n_broken = text.count("\ufffd")
    if len(text) - len(text.encode("ascii", "ignore")) > 2 * n_broken:
        return UTF8
    from charset_normalizer import from_bytes

    strings = b"\n".join(_STRING.findall(sample))
    found = list(from_bytes(strings, cp_isolation=_POSSIBLE))
    noise = min((match.chaos for match in found), default=0.0)
    alike = {match.encoding: str(match) for match in found if match.chaos <= noise + _ALIKE}
    western = strings.decode("cp1252", "replace")
    if "cp1252" in alike or western in alike.values():
        return "cp1252" if _is_western(western) else None
    is_sure = len(set(alike.values())) == 1 and _n_not_ascii(strings) >= _FEW_BYTES
    return next(iter(alike)) if is_sure else None


def _is_western(text: str) -> bool:
    from py3langid import classify

    return all(char.isascii() or char in _WESTERN for char in text) and classify(text)[0] in _WESTERN_LANGUAGES


def _n_not_ascii(text: bytes) -> int:
    return len(text) - len(text.translate(None, _NOT_ASCII))


def _sample(block: bytes, blocks: Iterator[bytes]) -> bytes:
    """Return `block`, and more of `blocks` if it has few bytes to judge by and is not UTF-8."""
    while len(block) < _MAX_SAMPLE and _n_not_ascii(block) < _ENOUGH_BYTES:
        try:
            block.decode(UTF8)
            return block
        except UnicodeDecodeError:
            more = next(blocks, b"")
            if not more:
                return block
            block += more
    return block


def _transcoded(blocks: Iterator[bytes], encoding: str, path: Path) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("strict" if is_wide(encoding) else "surrogateescape")
    try:
        for block in blocks:
            yield decoder.decode(block).encode(UTF8, "surrogateescape")
        yield decoder.decode(b"", final=True).encode(UTF8, "surrogateescape")
    except UnicodeError as error:
        problem = f"{path} is not {encoding.upper()} text, as its byte-order mark or --encoding says"
        raise UnreadableFile(problem, "write the file again as UTF-8", reason="not_utf8") from error
