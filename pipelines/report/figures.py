"""Numbers as the report prints them: shares in percent, bits per byte with three decimals, a real minus sign."""

import math
from dataclasses import dataclass
from enum import StrEnum

MINUS = "\N{MINUS SIGN}"


class Unit(StrEnum):
    """What a metric is measured in."""

    SHARE = "share"
    BITS_PER_BYTE = "bits_per_byte"
    TOKENS = "tokens"
    WORDS = "words"
    RATIO = "ratio"

    @property
    def factor(self) -> int:
        """Shares are printed in percent."""
        return 100 if self is Unit.SHARE else 1

    @property
    def decimals(self) -> int:
        """Digits behind the point."""
        return 3 if self in (Unit.BITS_PER_BYTE, Unit.RATIO) else 1


@dataclass(frozen=True)
class Figure:
    """A value with its 95% interval over `n` prompts or documents in `n_groups` independent groups."""

    value: float
    low: float
    high: float
    n: int | None = None
    n_groups: int | None = None
    unit: Unit = Unit.RATIO

    @property
    def n_text(self) -> str:
        """ "n = 205 in 18 groups"; empty where n was not recorded."""
        if self.n is None:
            return ""
        is_grouped = self.n_groups is not None and self.n_groups != self.n
        groups = f" in {self.n_groups:,} group{'' if self.n_groups == 1 else 's'}" if is_grouped else ""
        return f"n = {self.n:,}{groups}"

    @property
    def has_zero(self) -> bool:
        """Whether the interval contains zero, ends included."""
        return self.low <= 0 <= self.high

    @property
    def text(self) -> str:
        """A value: 93.9%, 0.982, 41.3."""
        return value_text(self.value, self.unit)

    @property
    def interval(self) -> str:
        """The interval of a value: [89.2, 97.3]."""
        return self._ends(signed=False)

    @property
    def with_interval(self) -> str:
        """93.9% [89.2, 97.3]."""
        return f"{self.text} {self.interval}"

    @property
    def change(self) -> str:
        """A signed difference of two values: +91.9 points, −0.231."""
        text = number_text(self.value * self.unit.factor, self.unit.decimals, signed=True)
        return text + (" points" if self.unit is Unit.SHARE else "")

    @property
    def change_interval(self) -> str:
        """The interval of a difference, both ends signed."""
        return self._ends(signed=True)

    @property
    def change_with_interval(self) -> str:
        """−5.2 points [−11.0, +0.6]."""
        return f"{self.change} {self.change_interval}"

    def _ends(self, *, signed: bool) -> str:
        low, high = (
            number_text(x * self.unit.factor, self.unit.decimals, signed=signed) for x in (self.low, self.high)
        )
        return f"[{low}, {high}]"


def number_text(value: float, decimals: int, *, signed: bool = False) -> str:
    """`value` rounded, with thousands separators; `signed` writes a plus too. Never a negative zero."""
    text = f"{abs(value):,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        return text
    return f"{MINUS}{text}" if value < 0 else f"+{text}" if signed else text


def significant_text(value: float) -> str:
    """Three significant digits: 0.0412, 12.3, 3.1e−07."""
    return f"{value:.3g}".replace("-", MINUS)


def value_text(value: float, unit: Unit) -> str:
    """A metric's value: 93.9%, 0.982, 41.3."""
    return number_text(value * unit.factor, unit.decimals) + ("%" if unit is Unit.SHARE else "")


def p_value_text(p_value: float, *, at_floor: bool = False) -> str:
    """A p-value with two significant digits: p < 0.001, p = 0.012, p = 0.34. One that is `at_floor`, as small as the
    permutations allow, is an upper bound: p ≤ 0.0024."""
    if at_floor:
        return f"p ≤ {p_value:.2g}"
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def relative_text(figure: Figure) -> str:
    """A relative change with its interval: −19.1% [−21.0, −17.2]."""
    value, low, high = (number_text(100 * x, 1, signed=True) for x in (figure.value, figure.low, figure.high))
    return f"{value}% [{low}, {high}]"


def perplexity_text(figure: Figure) -> str:
    """A perplexity with its interval; two decimals below 100, one above."""
    decimals = 2 if figure.value < 100 else 1
    value, low, high = (number_text(x, decimals) for x in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def duration_text(seconds: float) -> str:
    """0.42 s, 48.3 s, 3 min 20 s, 1 h 02 min."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(n_bytes: float) -> str:
    """A size in binary units: 1.4 GiB."""
    if n_bytes < 1024:
        return f"{n_bytes:,.0f} B"
    power = min(int(math.log(n_bytes, 1024)), 4)
    return f"{n_bytes / 1024**power:,.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
