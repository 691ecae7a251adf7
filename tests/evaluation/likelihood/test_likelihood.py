import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from pipelines.errors import UserError
from pipelines.evaluation.likelihood.likelihood import (
    condition_token,
    passage_likelihoods,
    response_likelihoods,
    text_likelihoods,
    token_log_probabilities,
)
from pipelines.evaluation.prompts.prompt import Response
from pipelines.inference.byte_spans import encode_text
from pipelines.inference.loading import load_for_inference
from pipelines.inference.log_probabilities import TokenSequence, log_probabilities, scored_places
from pipelines.modeling import LoadedModel, PromptStyle, render_prompt
from tests.evaluation.plain_likelihood import plain_log_probs, plain_nll

TEXTS = [
    "def find_max(numbers):\n    return max(numbers)\n", "x", "Ein Mädchen sah 😀 und </s> lachte.",
    "The sky is blue. " * 5, "", "one two three", "a\n\n  b\t",
    "Once upon a time, there was a little girl named Lily.",
]  # fmt: skip
ROWS = [
    Response("Write a function f(x).", "def f(x):\n    return x"),
    Response("Say it in German.\n\nblue", "blau, größer als alle anderen Wörter"),
    Response("Say nothing much, please.", "ok"),
]


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize(("name", "condition"), [("tiny", "<|endoftext|>"), ("stories", "<s>")])
def test_likelihoods_equal_a_plain_float64_loop(name, condition, batch_size, request):
    loaded: LoadedModel = request.getfixturevalue(name)
    token_id = loaded.tokenizer.convert_tokens_to_ids(condition)
    found = text_likelihoods(loaded, TEXTS, batch_size=batch_size)
    assert [one.nll_nats for one in found] == pytest.approx([plain_nll(loaded, t, token_id) for t in TEXTS], rel=1e-9)
    assert [one.n_bytes for one in found] == [len(text.encode()) for text in TEXTS]
    assert [one.n_tokens for one in found] == [len(encode_text(loaded.tokenizer, text)) for text in TEXTS]


def test_rows_of_one_length_need_no_padding_and_give_the_same(tiny):
    texts = ["abc def", "abd def", "xbc dex"]
    alone = [text_likelihoods(tiny, [text])[0].nll_nats for text in texts]
    with_padding = text_likelihoods(tiny, [*texts, "a much longer text than the others " * 4], batch_size=4)[:3]
    assert [one.nll_nats for one in text_likelihoods(tiny, texts, batch_size=3)] == pytest.approx(alone, rel=1e-9)
    assert [one.nll_nats for one in with_padding] == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokenizers_padding_side_and_pad_token_do_not_matter(tiny_model_folder, side):
    loaded = load_for_inference(str(tiny_model_folder), dtype="float64")
    expected = [one.nll_nats for one in text_likelihoods(loaded, TEXTS, batch_size=7)]
    loaded.tokenizer.padding_side = side
    loaded.tokenizer.pad_token = None
    assert [one.nll_nats for one in text_likelihoods(loaded, TEXTS, batch_size=7)] == expected


@pytest.mark.parametrize(("window", "stride"), [(16, 8), (16, 15), (16, 1), (17, 5)])
def test_a_long_text_equals_a_naive_window_for_each_token(tiny, window, stride):
    text = "def find_max(numbers):\n    return sorted(numbers)[-1]\n" * 2
    token_ids = [tiny.tokenizer.eos_token_id, *encode_text(tiny.tokenizer, text)]
    n = len(token_ids)
    assert n > 2 * window

    def begin_of(place: int) -> int:
        n_steps = math.ceil(max(0, place + 1 - window) / stride)
        return min(window + n_steps * stride, n) - window

    expected = -plain_log_probs(tiny, token_ids, 1, begin_of).sum()
    for batch_size in (1, 7):
        [found] = text_likelihoods(tiny, [text], batch_size=batch_size, window=window, stride=stride)
        assert (found.nll_nats, found.n_tokens) == (pytest.approx(expected, rel=1e-9), n - 1)


def test_by_default_a_text_longer_than_the_model_is_read_in_windows(tiny):
    text = "return max(numbers) " * 100
    [found] = text_likelihoods(tiny, [text])
    assert found.n_tokens == len(encode_text(tiny.tokenizer, text)) > 256
    assert found.nll_nats == text_likelihoods(tiny, [text], window=256, stride=128)[0].nll_nats


def test_a_window_may_be_longer_than_the_model_by_its_last_token_which_is_not_read(tiny):
    token_ids = encode_text(tiny.tokenizer, "return max(numbers) " * 100)[:300]
    [found] = log_probabilities(tiny, [TokenSequence(token_ids, 1)], window=257, stride=256)
    parts = [plain_log_probs(tiny, token_ids[:257], 1), plain_log_probs(tiny, token_ids[-257:], 257 - 43)]
    assert found.tolist() == pytest.approx(np.concatenate(parts).tolist(), rel=1e-9)


def test_passages_of_one_text_share_its_likelihood_by_where_their_tokens_begin(stories):
    passages = ["Lily ate 😀.\n\n", "She was ", "happy </s>.\n \n", "The end"]
    found = passage_likelihoods(stories, passages, window=24, stride=12)
    [whole] = text_likelihoods(stories, ["".join(passages)], window=24, stride=12)
    assert sum(one.nll_nats for one in found) == pytest.approx(whole.nll_nats, rel=1e-12)
    assert sum(one.n_tokens for one in found) == whole.n_tokens > 24
    assert [one.n_bytes for one in found] == [len(passage.encode()) for passage in passages]
    [first] = text_likelihoods(stories, passages[:1], window=24, stride=12)
    assert found[0].nll_nats == pytest.approx(first.nll_nats)
    assert found[3].nll_nats != pytest.approx(text_likelihoods(stories, passages[3:])[0].nll_nats), "it has a context"


def test_the_first_passage_of_a_tokenizer_without_a_condition_counts_a_token_less(tiny):
    loaded = dataclasses.replace(tiny, tokenizer=_byte_tokenizer(0), model=_Uniform(256))
    found = passage_likelihoods(loaded, ["abc", "de"])
    assert [(one.n_tokens, one.n_bytes) for one in found] == [(2, 2), (2, 2)]
    tokens = token_log_probabilities(loaded, ["abc"])[0]
    assert [one.log_prob is None for one in tokens] == [True, False, False]


def test_any_figures_of_the_scored_places_can_be_read_from_the_same_pass(tiny):
    def own_and_best(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        log_probs = logits.log_softmax(dim=-1)
        return torch.stack([log_probs.gather(1, targets[:, None])[:, 0], log_probs.max(dim=-1).values], dim=1)

    sequences = [TokenSequence([5, 6, 7, 8], 2), TokenSequence([9], 1), TokenSequence([5, 6] * 200, 1)]
    tables = scored_places(tiny, sequences, own_and_best, batch_size=2)
    assert [len(table) for table in tables] == [2, 0, 399]
    own = log_probabilities(tiny, sequences, batch_size=2)
    assert all((table[:, 0] == scores).all() for table, scores in zip(tables, own, strict=True))
    assert (tables[2][:, 1] >= tables[2][:, 0]).all()


def test_the_condition_is_told_by_its_spelling(tiny, stories):
    conditions = [condition_token(tokenizer) for tokenizer in (tiny.tokenizer, stories.tokenizer, _byte_tokenizer(0))]
    assert conditions == ["<|endoftext|>", "<s>", None]


def test_a_response_is_scored_on_its_own_text_tokens_after_the_prompt(tiny):
    for style in PromptStyle:
        expected = []
        for row in ROWS:
            prompt = render_prompt(tiny.tokenizer, row.asked, style)
            answer = tiny.tokenizer(row.text, add_special_tokens=False)["input_ids"]
            expected.append(-plain_log_probs(tiny, [*prompt, *answer], len(prompt)).sum())
        for batch_size in (1, 7):
            found = response_likelihoods(tiny, ROWS, style, batch_size=batch_size)
            assert [one.nll_nats for one in found] == pytest.approx(expected, rel=1e-9)
            assert [one.n_bytes for one in found] == [len(row.text.encode()) for row in ROWS]


def test_a_prompt_too_long_is_cut_at_its_left_and_counted_and_the_answer_is_whole(tiny):
    row = Response("word " * 200, "def f(x):\n    return x")
    prompt = render_prompt(tiny.tokenizer, row.asked, style=PromptStyle.CHAT)
    answer = encode_text(tiny.tokenizer, row.text)
    [found] = response_likelihoods(tiny, [row], PromptStyle.CHAT)
    kept = [*prompt, *answer][-256:]
    assert found.n_context_cut == len(prompt) + len(answer) - 256
    assert found.n_tokens == len(answer)
    assert found.nll_nats == pytest.approx(-plain_log_probs(tiny, kept, 256 - len(answer)).sum(), rel=1e-9)


def test_an_answer_longer_than_the_model_is_read_in_windows(tiny):
    row = Response("Write.", "return max(numbers) " * 100)
    [found] = response_likelihoods(tiny, [row], PromptStyle.CHAT)
    assert found.n_tokens == len(encode_text(tiny.tokenizer, row.text)) > 256
    assert found.n_bytes == len(row.text)


def test_logits_are_computed_for_scored_positions_only(tiny):
    shapes = []
    hook = tiny.model.lm_head.register_forward_hook(lambda _, inputs, __: shapes.append(inputs[0].shape[1]))
    row = Response("word " * 20, "def f(x):")
    [found] = response_likelihoods(tiny, [row], PromptStyle.CHAT)
    hook.remove()
    assert shapes == [found.n_tokens]


def test_rows_of_one_batch_have_logits_for_their_own_scored_positions_only(tiny):
    shapes = []
    hook = tiny.model.lm_head.register_forward_hook(lambda _, inputs, __: shapes.append(tuple(inputs[0].shape[:2])))
    sequences = [TokenSequence([5] * 20, 18), TokenSequence([6] * 20, 1), TokenSequence([7] * 12, 11)]
    log_probabilities(tiny, sequences)
    hook.remove()
    assert shapes == [(1, 2 + 19 + 1)]
    assert not tiny.model.lm_head._forward_pre_hooks, "the model is left as it was"


def test_no_batch_has_an_attention_mask(tiny, monkeypatch):
    given = []
    forward = tiny.model.forward
    monkeypatch.setattr(tiny.model, "forward", lambda **options: given.append(options) or forward(**options))
    text_likelihoods(tiny, TEXTS)
    assert given
    assert not any("attention_mask" in one for one in given)


def test_a_batch_holds_rows_of_about_one_length_up_to_a_number_of_tokens(tiny):
    model = _Uniform(256, max_positions=4096)
    sequences = [TokenSequence([1] * n, 1) for n in (10, 1500, 3000, 10, 1500, 1500)]
    log_probabilities(dataclasses.replace(tiny, model=model), sequences)
    assert model.shapes == [(1, 2999), (2, 1499), (1, 1499), (2, 9)], "the last token is not read"
    log_probabilities(dataclasses.replace(tiny, model=model), sequences[1:2] * 3, batch_size=1)
    assert model.shapes[4:] == [(1, 1499)] * 3


def test_a_large_vocabulary_has_fewer_rows_at_once(tiny):
    model = _Uniform(1 << 15, max_positions=4096)
    log_probabilities(dataclasses.replace(tiny, model=model), [TokenSequence([1] * 1025, 1)] * 2)
    assert model.shapes == [(1, 1024), (1, 1024)]


def test_bits_per_byte_agree_for_two_tokenizers_whose_models_give_the_bytes_equal_probability(tiny):
    """A model that is uniform over 256 tokens spends 8 bits a token: one byte a token, with a BOS or without any."""
    uniform = dataclasses.replace(tiny, model=_Uniform(256))
    text = "größer 😀"
    by_bytes = [text_likelihoods(dataclasses.replace(uniform, tokenizer=_byte_tokenizer(n)), [text])[0] for n in (0, 1)]
    n_bytes = len(text.encode())
    assert by_bytes[0].n_tokens == n_bytes - 1
    assert by_bytes[0].n_bytes == n_bytes - 1, "the first byte has no condition: it is neither scored nor counted"
    assert by_bytes[1].n_tokens == by_bytes[1].n_bytes == n_bytes
    for one in by_bytes:
        assert one.nll_nats / (math.log(2) * one.n_bytes) == pytest.approx(8.0)


def test_log_probabilities_of_a_model_with_infinite_weights_are_refused(tiny):
    broken = dataclasses.replace(tiny, model=_Uniform(256, math.nan))
    with pytest.raises(UserError, match="tiny gives log probabilities that are NaN or infinite"):
        log_probabilities(broken, [TokenSequence([1, 2, 3], 1)])


def test_unknown_tokens_are_counted(tiny):
    core = Tokenizer(models.WordLevel({"<unk>": 0, "ab": 1}, unk_token="<unk>"))
    loaded = dataclasses.replace(tiny, tokenizer=PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>"))
    row = Response("ab", "é")
    loaded.tokenizer.eos_token = "ab"
    assert response_likelihoods(loaded, [row], PromptStyle.PLAIN)[0].n_unknown == 1
    assert text_likelihoods(loaded, ["ab"])[0].n_unknown == 0


def test_token_log_probabilities_sum_to_the_texts_likelihood(stories, tiny):
    text = "Once upon a time, Lily ate 😀."
    for loaded in (stories, tiny):
        tokens = token_log_probabilities(loaded, [text])[0]
        assert sum(one.log_prob for one in tokens) == pytest.approx(-text_likelihoods(loaded, [text])[0].nll_nats)
        assert "".join(one.token for one in tokens) == text.replace("😀", "\\xf0\\x9f\\x98\\x80")
        assert (tokens[0].begin_byte, tokens[-1].end_byte) == (0, len(text.encode()))


class _Uniform(torch.nn.Module):
    """A model that finds every token equally probable, with `logit` for all; it notes the shapes that it was given."""

    def __init__(self, n_tokens: int, logit: float = 0.0, max_positions: int = 64) -> None:
        super().__init__()
        self.n_tokens, self.logit, self.device = n_tokens, logit, torch.device("cpu")
        self.config = LlamaConfig(max_position_embeddings=max_positions, vocab_size=n_tokens)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        self.shapes.append(tuple(input_ids.shape))
        return SimpleNamespace(logits=torch.full((*input_ids.shape, self.n_tokens), self.logit, dtype=torch.float64))


def _byte_tokenizer(n_special: int) -> PreTrainedTokenizerFast:
    """One token for each byte, with a BOS token or with no special token at all."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({character: number for number, character in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, **({"bos_token": alphabet[0]} if n_special else {}))
