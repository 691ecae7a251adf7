import pytest

from pipelines.errors import UserError
from pipelines.inference.windows import WINDOW_WITHOUT_LIMIT, sliding_windows, window_and_stride


def test_by_default_a_window_is_the_models_longest_sequence_and_half_of_it_the_stride():
    assert window_and_stride(256, None, None) == (256, 128)
    assert window_and_stride(256, 10, None) == (10, 5)
    assert window_and_stride(256, 257, 256) == (257, 256), "the last token is predicted, not read"
    assert window_and_stride(None, None, None) == (WINDOW_WITHOUT_LIMIT, WINDOW_WITHOUT_LIMIT // 2)


@pytest.mark.parametrize(
    ("n_tokens", "first", "window", "stride"), [(50, 1, 8, 3), (50, 30, 8, 4), (50, 45, 8, 7), (8, 1, 8, 4)]
)
def test_windows_score_each_position_once(n_tokens, first, window, stride):
    windows = sliding_windows(n_tokens, first, window, stride)
    scored = [place for one in windows for place in range(one.first_scored, one.end)]
    assert scored == list(range(first, n_tokens))
    for one in windows:
        assert 0 <= one.begin < one.first_scored
        assert one.end - one.begin <= window
        assert one.begin == 0 or one is windows[0] or one.first_scored - one.begin >= window - stride


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (512, None, "the window is 512 tokens, expected 2 to 257"),
        (8, 8, "the stride is 8 tokens, expected 1 to 7 for a window of 8"),
    ],
)
def test_a_window_that_cannot_be_read_is_refused(window, stride, message):
    with pytest.raises(UserError, match=message):
        window_and_stride(256, window, stride)
