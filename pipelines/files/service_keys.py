"""Keys of known services, tokens and private keys in a text: what must not be trained on, uploaded or logged.

Each kind has a literal that it contains, a pattern and a check that examples and placeholders do not pass.
"""

import base64
import binascii
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

# An access token of the Hub. No word boundary in front: in JSON a line that begins with one reads \nhf_...
HUB_TOKEN = re.compile(r"(?:hf_(?:oauth_|jwt_)?|api_org_)[A-Za-z0-9]{20,}")

_BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLACEHOLDER = re.compile(
    r"(?i)your|here|example|sample|dummy|placeholder|fake|test|demo|changeme|secret|passw|token|apikey|api_key|"
    r"x{4}|(.)\1{5}|0123|1234|2345|abcd|\.\.\.|[{}<>$]|%\("
)
_HEXADECIMAL = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_SEPARATORS = re.compile(r"[\W_]")


def looks_random(value: str, min_length: int = 16) -> bool:
    """Whether a text can be a generated key: many different characters, mixed, and no placeholder."""
    characters = _SEPARATORS.sub("", value)
    n = len(characters)
    if n < min_length or _PLACEHOLDER.search(value) or characters.isdecimal():
        return False
    entropy = -sum(count / n * math.log2(count / n) for count in Counter(characters).values())
    n_possible = 16 if _HEXADECIMAL.fullmatch(characters) else 36
    n_changes = sum(_kind(left) != _kind(right) for left, right in pairwise(characters))
    min_changes = (0.3 if characters.isalpha() else 0.2) * n
    return entropy >= 0.75 * math.log2(min(n, n_possible)) and n_changes >= min_changes


def _kind(character: str) -> int:
    return 0 if character.isdecimal() else 1 if character.islower() else 2


def has_checksum(key: str) -> bool:
    """Whether the last six characters of a GitHub or npm token are the CRC-32 of the thirty before, in base 62."""
    n = zlib.crc32(key[-36:-6].encode())
    digits = ""
    for _ in range(6):
        n, rest = divmod(n, 62)
        digits = _BASE_62[rest] + digits
    return digits == key[-6:]


def _is_json_web_token(key: str) -> bool:
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in key.split(".")[:2])
    except (binascii.Error, ValueError):
        return False
    # the second is the example of jwt.io
    return (
        isinstance(header, dict) and "alg" in header and isinstance(claims, dict) and claims.get("sub") != "1234567890"
    )


def _is_private_key(block: str) -> bool:
    body = "".join(re.findall(r"[A-Za-z0-9+/=]{24,}", block))
    # the end: the head of an OpenSSH key is the same for all, and looks like a placeholder
    return len(body) >= 48 and looks_random(body[-64:])


def _is_hosted_token(key: str) -> bool:
    """With a right checksum, or random: invented ones have none, and a model learns to write them all the same."""
    return has_checksum(key) or looks_random(key[4:])


def _ends_random(key: str) -> bool:
    return looks_random(key.rsplit("-", 1)[-1])


def _always(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A kind of key: `name` is the word of its mark, `literals` are in every text that has one."""

    name: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = looks_random


def _kind_of_key(name: str, literal: str, pattern: str, check: Callable[[str], bool] = looks_random) -> ServiceKey:
    """A key that is a word of its own."""
    return ServiceKey(
        name, tuple(literal.split()), re.compile(rf"(?<![A-Za-z0-9_-])(?:{pattern})(?![A-Za-z0-9_])"), check
    )


SERVICE_KEYS = (
    _kind_of_key("AWS_ACCESS_KEY", "AKIA ASIA", r"(?:AKIA|ASIA)[A-Z2-7]{16}", lambda key: "EXAMPLE" not in key),
    _kind_of_key("GITHUB_TOKEN", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36}", _is_hosted_token),
    _kind_of_key("GITHUB_TOKEN", "github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    ServiceKey("HUGGING_FACE_TOKEN", ("hf_", "api_org_"), HUB_TOKEN),
    _kind_of_key("ANTHROPIC_KEY", "sk-ant-", r"sk-ant-[a-z0-9]{3,12}-[A-Za-z0-9_-]{40,}"),
    _kind_of_key("OPENAI_KEY", "T3BlbkFJ", r"sk-[A-Za-z0-9_-]{10,}T3BlbkFJ[A-Za-z0-9_-]{10,}"),
    _kind_of_key("API_KEY", "sk- gsk_ xai-", r"(?:sk-(?:or-v1-)?|gsk_|xai-)[A-Za-z0-9]{32,}|sk-proj-[\w-]{32,}"),
    _kind_of_key("SLACK_TOKEN", "xox", r"xox[abeoprs]-[0-9A-Za-z-]{24,}", _ends_random),
    _kind_of_key("SLACK_WEBHOOK", "hooks.slack.com", r"https://hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{24}"),
    _kind_of_key("GOOGLE_API_KEY", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _kind_of_key("STRIPE_KEY", "k_live_", r"[rs]k_live_[A-Za-z0-9]{24,}"),
    _kind_of_key("NPM_TOKEN", "npm_", r"npm_[A-Za-z0-9]{36}", _is_hosted_token),
    _kind_of_key("PYPI_TOKEN", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    _kind_of_key("GITLAB_TOKEN", "glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),
    _kind_of_key("SENDGRID_KEY", "SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _kind_of_key("TWILIO_KEY", "SK", r"SK[0-9a-f]{32}", lambda key: looks_random(key[2:])),
    _kind_of_key("TELEGRAM_TOKEN", ":AA", r"\d{8,10}:AA[A-Za-z0-9_-]{33}", lambda key: looks_random(key[-33:])),
    _kind_of_key("DIGITALOCEAN_TOKEN", "do", r"do[opr]_v1_[0-9a-f]{64}", lambda key: looks_random(key[7:])),
    ServiceKey(
        "JSON_WEB_TOKEN", ("eyJ",),
        re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{20,}"),
        _is_json_web_token,
    ),
    ServiceKey(
        "PRIVATE_KEY", ("PRIVATE KEY",),
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----))*"
            r"(?:-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
        _is_private_key,
    ),
)  # fmt: skip


_LITERALS = tuple((literal, kind) for kind in SERVICE_KEYS for literal in kind.literals)


def find_service_keys(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the name of the kind, the start and the end of each key in `text`, those of one kind after the other."""
    possible = [kind for literal, kind in _LITERALS if literal in text]
    for kind in dict.fromkeys(possible):
        for match in kind.pattern.finditer(text):
            if kind.check(match[0]):
                yield kind.name, *match.span()
