"""Templates of another family than the base's, and those that open turns with its own special tokens."""

import pytest

from pipelines.modeling import CHATML
from pipelines.preflight.checks.tokens.template_family import template_not_of_base
from pipelines.records.finding import Severity
from tests.preflight.contexts import context_of, rows_of

LLAMA = (
    "{{- bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + "
    "message.content + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
PLAIN = (
    "{% for message in messages %}{{ '### ' + message.role + ':\n' + message.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}"
)


ZEPHYR = PLAIN.replace("### ' + message.role + ':", "<|' + message.role + '|>").replace(
    "### assistant:", "<|assistant|>"
)


@pytest.mark.parametrize(
    ("family", "template", "n_findings"),
    [
        ("llama3", CHATML, 1), ("qwen", LLAMA, 1), ("qwen", PLAIN, 1), ("gpt2", LLAMA, 0), ("gpt2", CHATML, 0),
        ("gpt2", PLAIN, 0), ("llama3", LLAMA, 0), ("llama3", PLAIN, 0), ("qwen", CHATML + "{# mine #}", 0),
        ("qwen", PLAIN.replace("eos_token", "'<|im_end|>'"), 1),
        ("llama3", PLAIN.replace("eos_token", "'<|eot_id|>'"), 0),
        ("llama3", ZEPHYR.replace("eos_token", "'<|eot_id|>'"), 1), ("qwen", ZEPHYR, 1), ("gpt2", ZEPHYR, 0),
        ("qwen", CHATML.replace("assistant\\n'", "assistant\\n<think>\\n\\n</think>\\n\\n'"), 0),
    ],
)  # fmt: skip
def test_a_template_with_the_marks_of_another_family_is_a_warning(bases, tmp_path, family, template, n_findings):
    path = tmp_path / "template.jinja"
    path.write_text(template)
    context = context_of(tmp_path, bases[family], rows_of(4), chat_template_path=str(path))
    findings = list(template_not_of_base(context))
    assert [(one.id, one.severity) for one in findings] == [("TEMPLATE_NOT_OF_BASE", Severity.WARNING)] * n_findings
