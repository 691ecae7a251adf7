"""200 texts that tokenizers split differently: code, spaces, numbers, scripts, special tokens. The same in each run."""

from collections.abc import Sequence
from itertools import cycle, product

N_TEXTS = 200
_SPACES = (" ", "  ", "   ", "    ", "     ", "        ", "            ", "\t", "\t\t", "\t\t\t", " \t", "\t  ")
_CODE = (
    "return total", "if x > 0:", "for i in range(10):", "self.name = name", "# count the rows", "else:", "}", "x += 1",
    'print(f"{value:.2f}")', "@property", "def area(self, width):", "assert rows[-1] == {}",
)  # fmt: skip
_BREAKS = ("\n", "\n\n", "\n\n\n", "\r\n", "\n    ", "\n\t", "\n  \n", " \n", "\n        ")
_NUMBERS = (
    "7", "42", "365", "2048", "31415", "271828", "1000000", "3.14159", "1,234,567.89", "-40", "1e-05", "0x1F",
    "192.168.0.1",
    "2026-11-30", "12:45:07", "50%", "v2.10.3", "³½", "٣٤٥", "１２３",
)  # fmt: skip
_WORDS = (
    "don't", "We'll", "they'RE", "I'm", "o'clock", "snake_case_name", "CamelCaseName", "HTTPServer", "state-of-the-art",
    "e.g.", "Mr. O'Neil", "C++", "C#", "a/b", "x==y", "!=", "->", "=>", "::", "...", "…", "“quoted”", "‘single’", "–",
    "—",
    "a  b   c", " leading", "trailing ", "  both  ", "\u00a0no-break\u00a0space", "zero\u200bwidth",
)  # fmt: skip
_SCRIPTS = (
    "Größe, Straße, Übung", "naïve café à côté", "mañana, ¿qué?", "Ελληνικά γράμματα", "Привет, как дела?",
    "Їжак і ґава",
    "日本語の文章です。", "中文句子，没有空格。", "한국어 문장입니다", "مرحبا بالعالم", "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก", "Tiếng Việt",
    "e\u0301 combining", "İstanbul ığdır", "ﬁne ligature", "½ cup", "€ 5, £ 6, ¥ 7", "x² + y₁", "∑ ∫ ≤ ≠ →", "😀",
    "👩‍👩‍👧‍👦 family",
    "🇩🇪🇯🇵", "a👍🏽b", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
)  # fmt: skip
_MARKUP = (
    '{"name": "Ada", "tags": ["a", "b"]}', "<div class='box'>text</div>", "https://example.org/a?b=1&c=%20",
    "**bold** _it_",
    "| a | b |\n|---|---|", "- one\n- two\n  - three", "```python\nx = 1\n```", "SELECT * FROM t WHERE a = 'b';",
    "\\frac{1}{2}",
    "name@example.org", "C:\\temp\\new.txt", "$HOME/bin", "a\tb\tc", "#!/bin/sh", "<!-- note -->", "/* note */",
)  # fmt: skip
_AROUND = ("{}", "{}user\nhi", "a{}b", " {} ", "{}\n{}", "say {} twice", "\n{}")
_USUAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "[INST]")


def probe_texts(special_tokens: Sequence[str]) -> list[str]:
    """Return the texts: the fixed ones, then texts around the tokenizer's special tokens and around usual ones."""
    code = [f"{space}{line}" for space, line in zip(_SPACES * 2, _CODE + _CODE[::-1], strict=True)]
    blocks = [f"def f(x):{br}{sp}y = x{br}{sp}return y" for br, sp in product(_BREAKS[:4], _SPACES[:10])]
    fixed = list(dict.fromkeys([*code, *blocks, *_BREAKS, *_NUMBERS, *_WORDS, *_SCRIPTS, *_MARKUP]))
    tokens = list(dict.fromkeys([*special_tokens, *_USUAL_TOKENS]))
    around = (form.replace("{}", token) for form, token in zip(cycle(_AROUND), cycle(tokens), strict=False))
    return [*fixed, *(next(around) for _ in range(N_TEXTS - len(fixed)))]
