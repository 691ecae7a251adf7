"""Find keys of services, private keys and assigned passwords in a text."""

import re
from collections.abc import Iterator

from pipelines.files.service_keys import find_service_keys, looks_random

# A secret is at least 16 characters long without a space or a quote, and few words are.
_LONG = bytes(
    ord("x") if (code < 128 and chr(code).isalnum()) or chr(code) in "_-+/=.!#$%&*@^~?:|" else ord(" ")
    for code in range(256)
)
_N_LONG = b"x" * 16

_NAMES = ("passw", "pwd", "secret", "key", "token", "credential", "bearer")
_ASSIGNED = re.compile(
    r"(?i)(?<!publicKey)(?:passw(?:or)?d|passwd|pwd|secret|token(?!iz)|credential|"
    r"(?:api|access|auth|account|private|encryption|signing)[_ -]?key)"
    r"[\w-]{0,20}[\"'`]?\s{0,3}(?::=|=>|[:=])\s{0,3}"
    r"(?:([\"'`])([^\s\"'`]{16,200})\1|([A-Za-z0-9+/_=-]{20,200})(?![\w.(\[]))"
)
# a class, a file or a model
_NAME = re.compile(r"^[\w-]+/[\w.-]*[a-z]{5}|[A-Z][a-z]{5,}.*[A-Z][a-z]{5,}|[A-Z]\w*[a-z]{8}")
_BEARER = re.compile(r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/-]{20,2000}=*)")
_PASSWORD_IN_URL = re.compile(r"[a-z]://[^\s:/@\"'<>{}$]{1,64}:([^\s:/@\"'<>{}$]{8,100})@(?=[\w.-]+)")


def find_credentials(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the type, the start and the end of each key of a service, private key, and assigned password."""
    yield from find_service_keys(text)
    if "://" in text:
        yield from (
            ("PASSWORD", *match.span(1)) for match in _PASSWORD_IN_URL.finditer(text) if looks_random(match[1], 8)
        )
    lowered = text.lower()
    if any(name in lowered for name in _NAMES):
        for match in _ASSIGNED.finditer(text):
            group = 2 if match[2] else 3
            if looks_random(match[group]) and not _NAME.search(match[group]):
                yield "SECRET", *match.span(group)
        yield from (("SECRET", *match.span(1)) for match in _BEARER.finditer(text) if looks_random(match[1]))


def may_have_credentials(text: str) -> bool:
    """A cheap test, which most texts do not pass."""
    return _N_LONG in text.encode("utf-8", "replace").translate(_LONG)
