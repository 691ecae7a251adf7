"""Find text about markup and entities of HTML."""

import re

_ABOUT_MARKUP = re.compile(
    r"html|xml|\bentit(?:y|ies)\b|escap|encod|decod|java ?script|\bcss\b|\bphp\b|jsx|react|\bweb ?pages?\b|browser"
    r"|\btags?\b|markup|bbcode|regex|sanitiz|snippet|\bcode\b|parse|scrap(?:e|ing)|template|latex|\bsvg\b|syntax",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"```|`[^`\n]*[<&\[]|[;{}]\s*$|=>|</(?:html|body|code|pre|script|style|table|svg)"
    r"|^[ \t]*(?:def|class|import|from|function|const|let|var|#include|public|if|for|while)\b.*[(:{]",
    re.MULTILINE,
)

ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});")


def is_about_markup(text: str) -> bool:
    """Whether a text is about markup or has code in it. An entity's semicolon at the end of a line is not code's."""
    return bool(_ABOUT_MARKUP.search(text) or _CODE.search(ENTITY.sub("&", text)))
