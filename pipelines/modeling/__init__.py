"""Tokenizer, chat template, base model and adapter: everything that loads weights or turns rows into token ids."""

from pipelines.modeling.adapters import lora_config, train_adapters_in_float32
from pipelines.modeling.chat_template import CHATML, end_token, ensure_chat_template, template_sha256, tokenizer_sha256
from pipelines.modeling.loading import LoadedModel, attach_quietly, load_tokenizer
from pipelines.modeling.rendering import (
    AnswerTokens,
    PromptStyle,
    lost_in_template,
    plain_prompt,
    render_answer,
    render_prompt,
    render_reference,
    stop_token_ids,
)
