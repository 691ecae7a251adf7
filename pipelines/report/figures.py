"""Numbers as the report prints them: shares in percent, bits per byte with three decimals, a real minus sign."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MINUS = "\N{MINUS SIGN}"


class Unit(StrEnum):
    """What a metric is counted in."""

    SHARE = "share"
    BITS_PER_BYTE = "bits_per_byte"
    TOKENS = "tokens"
    WORDS = "words"
    RATIO = "ratio"


@dataclass(frozen=True)
class Figure:
    """A value with its 95% interval over `n` prompts or documents, of which `n_groups` do not depend on each other."""

    value: float
    low: float
    high: float
    n: int | None = None
    n_groups: int | None = None

    @property
    def n_text(self) -> str:
        """ "n = 205 in 18 groups"; empty where n was not recorded."""
        if self.n is None:
            return ""
        is_grouped = self.n_groups is not None and self.n_groups != self.n
        return f"n = {self.n:,}" + (
            f" in {self.n_groups:,} group{'' if self.n_groups == 1 else 's'}" if is_grouped else ""
        )

    @property
    def has_zero(self) -> bool:
        """Whether the interval contains zero, ends included."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class _Style:
    factor: float
    decimals: int
    suffix: str
    difference_suffix: str


_STYLES = {
    Unit.SHARE: _Style(100, 1, "%", " points"),
    Unit.BITS_PER_BYTE: _Style(1, 3, "", ""),
    Unit.TOKENS: _Style(1, 1, "", ""),
    Unit.WORDS: _Style(1, 1, "", ""),
    Unit.RATIO: _Style(1, 3, "", ""),
}


def number_text(value: float, decimals: int, *, signed: bool = False) -> str:
    """`value` rounded, with thousands separators; `signed` writes a plus too. Never a negative zero."""
    text = f"{abs(value):,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        return text
    return f"{MINUS}{text}" if value < 0 else f"+{text}" if signed else text


def significant_text(value: float) -> str:
    """Three digits that count, however large or small the number: 0.0412, 12.3, 3.1e−07."""
    return f"{value:.3g}".replace("-", MINUS)


def _bracketed(figure: Figure, written: Callable[[float], str]) -> str:
    return f"[{written(figure.low)}, {written(figure.high)}]"


def value_text(value: float, unit: Unit) -> str:
    """A metric's value: 93.9%, 0.982, 41.3."""
    style = _STYLES[unit]
    return number_text(value * style.factor, style.decimals) + style.suffix


def interval_text(figure: Figure, unit: Unit) -> str:
    """A metric's interval in the same unit: [89.2, 97.3]."""
    style = _STYLES[unit]
    return _bracketed(figure, lambda end: number_text(end * style.factor, style.decimals))


def difference_text(figure: Figure, unit: Unit) -> str:
    """A difference of two values, signed: +91.9 points, −0.231."""
    style = _STYLES[unit]
    return number_text(figure.value * style.factor, style.decimals, signed=True) + style.difference_suffix


def difference_interval_text(figure: Figure, unit: Unit) -> str:
    """The interval of a difference, both ends signed."""
    style = _STYLES[unit]
    return _bracketed(figure, lambda end: number_text(end * style.factor, style.decimals, signed=True))


def p_value_text(p_value: float, *, at_floor: bool = False) -> str:
    """A p-value with two digits that count: p < 0.001, p = 0.012, p = 0.34. One that is `at_floor`, as small as the
    permutations could give, is an upper bound: p ≤ 0.0024."""
    if at_floor:
        return f"p ≤ {p_value:.2g}"
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def plus_minus_text(value: float, error: float | None, decimals: int) -> str:
    """A value with its standard error: 0.412 ± 0.013; the value alone where the error is None."""
    return number_text(value, decimals) + ("" if error is None else f" ± {number_text(error, decimals)}")


def relative_text(figure: Figure) -> str:
    """A relative change with its interval: −19.1% [−21.0, −17.2]."""
    ends = _bracketed(figure, lambda end: number_text(100 * end, 1, signed=True))
    return f"{number_text(100 * figure.value, 1, signed=True)}% {ends}"


def perplexity_text(figure: Figure) -> str:
    """A perplexity with its interval; two decimals below 100, one above."""
    decimals = 2 if figure.value < 100 else 1
    return f"{number_text(figure.value, decimals)} {_bracketed(figure, lambda end: number_text(end, decimals))}"


def duration_text(seconds: float) -> str:
    """Seconds as a person says them: 0.42 s, 48.3 s, 3 min 20 s, 1 h 02 min."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(n_bytes: float) -> str:
    """A size in binary units: 1.4 GiB."""
    if n_bytes < 1024:
        return f"{n_bytes:,.0f} B"
    power = min(int(math.log(n_bytes, 1024)), 4)
    return f"{n_bytes / 1024**power:,.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
