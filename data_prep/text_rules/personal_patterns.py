"""Find e-mail, IP and MAC addresses in a text.

A function yields the places of one type; with `keep_examples` those that documentation uses are left out.
"""

import ipaddress
import re
from collections.abc import Iterator

Place = tuple[int, int]

_LATIN = "\u00c0-\u024f"  # in words of other scripts, an address may follow without a space
_EMAIL = re.compile(
    rf"(?<![\w{_LATIN}.%+/-])[A-Za-z0-9{_LATIN}](?:[\w{_LATIN}.%+-]{{0,62}}[\w{_LATIN}%+-])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+([A-Za-z]{2,24})(?![\w@-]|\.\w|[(\[=]|:[\w/~])",
    re.ASCII,
)
# Two-letter domains are countries. Longer names after an @ in code are attributes and files, so they are listed.
_LONG_TLD = re.compile(
    r"com|net|org|edu|gov|mil|int|info|biz|name|museum|aero|coop|pro|jobs|mobi|travel|post|asia|cat|arpa|app|dev|page|"
    r"blog|online|site|store|shop|tech|club|email|cloud|company|agency|live|life|world|today|group|solutions|digital|"
    r"media|news|space|website|xyz|bank|health|law|studio|design|academy|school|university|support|services|global|"
    r"international|network|center|systems|consulting|eco|earth|london|paris|berlin|tokyo|nyc|fund|finance|capital|ventures|"
    r"team|works|software|care|church|community|energy|farm|house|legal|social|training|video|wiki|zone|art|foundation"
)
_FILE_ENDINGS = ("js", "ts", "py", "rb", "rs", "cs", "md", "sh")  # `logo@2.js`; few people have an address in them
# RFC 2606, what authors write for "your address", and message ids
_EXAMPLE_EMAIL = re.compile(
    r"(?i)@(?:[\w-]+\.)*(?:example|test|invalid|localhost|local|your-?domain|my-?domain|your-?company|domain)(?:\.\w+)*$"
    r"|^(?:(?:your|my)[._-]?(?:\w*[._-])?(?:e?mail|address|name|user)|user(?:name)?|example|test|you|someone|name|foo|bar)"
    r"(?:\d?|[._-].*)@|^\w@\w\.|^git@|^(?:\D*\d){14}.*@|^[\da-f]{8}-[\da-f]{4}-"
)


def find_emails(text: str, keep_examples: bool = True) -> Iterator[Place]:
    """Yield e-mail addresses. `git@host` is a repository, and `user@host` without a domain a shell prompt."""
    for match in _EMAIL.finditer(text):
        domain = match[1].lower()
        is_domain = _LONG_TLD.fullmatch(domain) if len(domain) > 2 else domain not in _FILE_ENDINGS
        if is_domain and not (keep_examples and _EXAMPLE_EMAIL.search(match[0])):
            yield match.span()


_IPV4 = re.compile(r"(?<![\w.-])(?<![^/]/)(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}(?![\w:])", re.ASCII)
_BEFORE_VERSION = re.compile(r"(?i)(?:version|ver\.?|release|build|section|chapter|clause|rule|[=<>~!]=|[$#]) {0,2}$")
_BEFORE_IP = re.compile(r"(?i)(?:\bip\b|address|host|server|ping|ssh|//|@)\W{0,4}(?:\w+\W{1,3}){0,2}$")
_AFTER_IP = re.compile(r":\d{2,5}(?!\d)|/[1-3]?\d(?!\d)")  # a port, a prefix
_RESOLVERS = frozenset(("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "4.2.2.2", "208.67.222.222"))
_PLACEHOLDER_IPS = ("1.2.3.", "1.1.1.", "12.34.56.78", "123.45.67.")


def find_ip_addresses(text: str, keep_examples: bool = True) -> Iterator[Place]:
    """Yield IPv4 and IPv6 addresses; examples are private, reserved and documentation ranges and public resolvers.

    Four numbers below 100 are more often a version or a section than an address, so they need a word such as "host"
    before them.
    """
    for match in (*_IPV4.finditer(text), *_IPV6.finditer(text)):
        try:
            address = ipaddress.ip_address(match[0].rstrip(":"))
        except ValueError:
            continue
        before = text[max(0, match.start() - 24) : match.start()]
        is_large = address.version == 6 or max(address.packed) >= 100
        is_named = _BEFORE_IP.search(before) or _AFTER_IP.match(text, match.end())
        if _BEFORE_VERSION.search(before) or not (is_large or is_named):
            continue
        if not (keep_examples and _is_example_ip(address)):
            yield match.start(), match.start() + len(match[0].rstrip(":"))


def _is_example_ip(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    last = address.packed[-1]
    is_network = address.version == 4 and (last in (0, 255) or len(set(address.packed)) == 1)
    name = str(address)
    is_known = name in _RESOLVERS or name.startswith(_PLACEHOLDER_IPS)
    return is_network or is_known or address.is_multicast or not address.is_global


_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])", re.ASCII)
_EXAMPLE_MAC = re.compile(
    r"(?i)^(?:001122334455|0123456789ab|aabbccddeeff|00005e00(?:53|52)..|123456789abc|(..)\1{5})$"
)


def find_mac_addresses(text: str, keep_examples: bool = True) -> Iterator[Place]:
    """Yield MAC addresses; examples are those of RFC 7042, those set by software, and groups of machines."""
    for match in _MAC.finditer(text):
        digits = match[0].replace(match[1], "")
        is_example = int(digits[:2], 16) & 3 or _EXAMPLE_MAC.match(digits)  # bits: group, set by software
        if not digits.isdecimal() and not (keep_examples and is_example):
            yield match.span()
