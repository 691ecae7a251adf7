"""Sliding windows over a sequence longer than the model; each token is scored exactly once."""

from dataclasses import dataclass

from pipelines.errors import UserError

WINDOW_WITHOUT_LIMIT = 2048  # tokens, if the model's config has no longest sequence


@dataclass(frozen=True)
class Window:
    """Positions of a sequence: the model reads begin..end-2 and scores first_scored..end-1."""

    begin: int
    first_scored: int
    end: int


def window_and_stride(max_positions: int | None, window: int | None, stride: int | None) -> tuple[int, int]:
    """Window and stride in tokens; by default the model's longest sequence, and half of the window.

    A window includes its last token, which is scored and not read, so it may be one longer than the model. Raises
    `UserError` for a window that the model cannot read, or a stride that leaves a token without context.
    """
    size = window or max_positions or WINDOW_WITHOUT_LIMIT
    longest = max_positions + 1 if max_positions is not None else None
    if size < 2 or (longest is not None and size > longest):
        problem = f"the window is {size} tokens, expected 2 to {longest or 'any number'}"
        raise UserError(problem, "leave out --window to use the model's longest sequence")
    step = stride or max(1, size // 2)
    if not 1 <= step < size:
        problem = f"the stride is {step} tokens, expected 1 to {size - 1} for a window of {size}"
        raise UserError(problem, "leave out --stride to use half of the window")
    return size, step


def sliding_windows(n_tokens: int, first_scored: int, window: int, stride: int) -> list[Window]:
    """Windows of at most `window` tokens that score the positions first_scored..n_tokens-1 (first_scored >= 1).

    If the scored part and one token before it fit into one window, its context is cut at the left. Otherwise windows
    advance by `stride`; each token then has window - stride tokens before it, or all there are.
    """
    if first_scored >= n_tokens:
        return []
    if n_tokens - first_scored < window:
        return [Window(max(0, n_tokens - window), first_scored, n_tokens)]
    begin = max(0, first_scored - (window - stride))
    windows = [Window(begin, first_scored, begin + window)]
    while windows[-1].end < n_tokens:
        end = min(windows[-1].end + stride, n_tokens)
        windows.append(Window(end - window, windows[-1].end, end))
    return windows
