"""Keys of services, made at run time: a literal in a file would be refused by the push protection of code hosts."""

import base64
import json
import random
import string
import zlib
from collections.abc import Callable

LETTERS = string.ascii_letters + string.digits
BASE_62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def text_of(generator: random.Random, alphabet: str, n: int) -> str:
    return "".join(generator.choices(alphabet, k=n))


def with_checksum(prefix: str, generator: random.Random) -> str:
    """A token of GitHub or npm: thirty characters and their CRC-32 in base 62."""
    body = text_of(generator, LETTERS, 30)
    n, digits = zlib.crc32(body.encode()), ""
    while len(digits) < 6:
        n, rest = divmod(n, 62)
        digits = BASE_62[rest] + digits
    return prefix + body + digits


def json_web_token(generator: random.Random) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": text_of(generator, LETTERS, 12), "iat": 1700000000})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*coded, text_of(generator, LETTERS, 43)])


def private_key(generator: random.Random) -> str:
    lines = "\n".join(text_of(generator, LETTERS + "+/", 64) for _ in range(8))
    dashes = "-" * 5
    return f"{dashes}BEGIN RSA PRIVATE KEY{dashes}\n{lines}\n{dashes}END RSA PRIVATE KEY{dashes}"


def _drawn(prefix: str, alphabet: str, n: int) -> Callable[[random.Random], str]:
    return lambda generator: prefix + text_of(generator, alphabet, n)


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "AWS_ACCESS_KEY": _drawn("AK" + "IA", string.ascii_uppercase + "234567", 16),
    "GITHUB_TOKEN": lambda generator: with_checksum("gh" + "p_", generator),
    "HUGGING_FACE_TOKEN": _drawn("h" + "f_", string.ascii_letters, 34),
    "ANTHROPIC_KEY": _drawn("sk-" + "ant-api03-", LETTERS + "_-", 93),
    "OPENAI_KEY": lambda generator: (
        "sk-" + "proj-" + text_of(generator, LETTERS, 40) + "T3Blbk" + "FJ" + text_of(generator, LETTERS, 40)
    ),
    "API_KEY": _drawn("s" + "k-", LETTERS, 48),
    "SLACK_TOKEN": lambda generator: (
        "xo" + f"xb-{text_of(generator, string.digits, 12)}-{text_of(generator, LETTERS, 24)}"
    ),
    "GOOGLE_API_KEY": _drawn("AI" + "za", LETTERS + "_-", 35),
    "STRIPE_KEY": _drawn("sk_" + "live_", LETTERS, 24),
    "NPM_TOKEN": lambda generator: with_checksum("np" + "m_", generator),
    "PYPI_TOKEN": _drawn("py" + "pi-AgEIcHlwaS5vcmc", LETTERS + "_-", 120),
    "GITLAB_TOKEN": _drawn("gl" + "pat-", LETTERS, 20),
    "SENDGRID_KEY": lambda generator: f"S{'G.'}{text_of(generator, LETTERS, 22)}.{text_of(generator, LETTERS, 43)}",
    "TWILIO_KEY": _drawn("S" + "K", "0123456789abcdef", 32),
    "TELEGRAM_TOKEN": lambda generator: (
        f"{generator.randrange(10**9, 10**10)}:A" + f"A{text_of(generator, LETTERS + '_-', 33)}"
    ),
    "DIGITALOCEAN_TOKEN": _drawn("do" + "p_v1_", "0123456789abcdef", 64),
    "JSON_WEB_TOKEN": json_web_token,
    "PRIVATE_KEY": private_key,
}
