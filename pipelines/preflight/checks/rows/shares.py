"""How grave a fault of single rows is: by the share of rows that have it."""

from pipelines.records.finding import Severity

_MIN_ROWS = 5  # for an error: fewer rows are soon looked at, however small the set


def severity_by_share(n_found: int, n_rows: int, *, error: float, warning: float = 0.0) -> Severity:
    """ERROR from a share of `error`, WARNING from `warning`, NOTE below."""
    share = n_found / max(1, n_rows)
    if share >= error and n_found >= _MIN_ROWS:
        return Severity.ERROR
    return Severity.WARNING if share >= warning else Severity.NOTE
