"""Show control and direction characters of rows and model output, on a page and in a terminal."""

import re

# An access token of the Hub. No word boundary in front: in JSON a line that begins with one reads \nhf_...
HUB_TOKEN = re.compile(r"(?:hf_(?:oauth_|jwt_)?|api_org_)[A-Za-z0-9]{20,}")

# Invisible characters: C1 controls, zero-width marks, line separators, and the direction marks that reorder displayed
# text. U+200C and U+200D stay: scripts and emoji need them.
_NAMED = (
    *range(0x80, 0xA0), 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
)  # fmt: skip
_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_VISIBLE |= {0x7F: "\u2421"} | {code: f"⟨U+{code:04X}⟩" for code in _NAMED}
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # half a surrogate pair cannot be written as UTF-8

# most texts have none of them, and searching is many times faster than translating
_ANY_HIDDEN = re.compile("[" + "".join(re.escape(chr(code)) for code in _VISIBLE) + "]")


def visible(text: str) -> str:
    """Return `text` with control, zero-width and direction characters shown as symbols (␀) or names (⟨U+202E⟩)."""
    text = text.replace("\r\n", "\n")
    return text.translate(_VISIBLE) if _ANY_HIDDEN.search(text) else text
