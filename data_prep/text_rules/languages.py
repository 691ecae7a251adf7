"""The language identifier of py3langid, a fork of langid.py (M. Lui and T. Baldwin, ACL 2012), and what is no prose."""

import re
from functools import cache
from typing import Any

NO_LANGUAGE = "zxx"  # py3langid's label for no linguistic content
MAX_CODE_SHARE = 0.06  # prose has few brackets, code has one in every line
CODE_SYMBOLS = "{}[]()<>=;_|\\/#$%^&*+~`"
# fenced and inline code, and URLs
NOT_PROSE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL | re.MULTILINE)
# py3langid labels these varieties; users ask for the language
VARIETIES = {"yue": "zh", "wuu": "zh", "nn": "no", "nb": "no", "arz": "ar", "ary": "ar", "uzs": "uz"}


@cache
def identifier() -> Any:
    """The identifier with normalized probabilities, loaded once."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # takes 0.7 s to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
