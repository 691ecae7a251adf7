"""Saved folders are read by transformers 4, mlx-lm and others, and by transformers 5 as before."""

import inspect
import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
)

from pipelines.errors import UserError
from pipelines.files import read_json, write_json_atomically
from pipelines.modeling import ensure_chat_template, load_tokenizer, template_sha256, tokenizer_sha256
from pipelines.modeling.serving_files import (
    added_tokens,
    complete_saved_model,
    complete_tokenizer_config,
    with_older_keys,
)

TEXTS = ["def f(x):\n    return x\n", " hello", "", "Hi!  \n\n ok", "ünï 你好", "x<|im_end|>\ny", "<s>a</s>"]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192, "rope_theta": 1e6}
LLAMA_3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64, "rope_theta": 5e5,
}  # fmt: skip
ROPES = {
    "default": ("llama", {"rope_type": "default", "rope_theta": 12345.0}, {"rope_theta": 12345.0}),
    "llama3": ("llama", LLAMA_3, {"rope_theta": 5e5, "rope_scaling": LLAMA_3}),
    "yarn": ("qwen2", YARN, {"rope_theta": 1e6, "rope_scaling": YARN}),
    "partly": ("phi", None, {"rope_theta": 1e4, "partial_rotary_factor": 0.5}),
    "phi3": ("phi3", None, {"rope_theta": 1e4, "partial_rotary_factor": 1.0}),
    "own names": ("gpt_neox", None, {"rotary_emb_base": 1e4, "rotary_pct": 0.25}),
    "by layer": ("gemma3_text", None, {"rope_theta": 1e6, "rope_local_base_freq": 1e4}),
    "equal layers": ("olmo3", None, {"rope_theta": 5e5}),
    "other layers": ("gemma4_text", None, {}),
    "no rope": ("gpt2", None, {"n_ctx": 1024}),
}


@pytest.mark.parametrize("case", ROPES.values(), ids=ROPES)
def test_a_config_has_older_names_too_and_loads_without_a_warning_as_before(case, tmp_path):
    kind, rope, expected = case
    config = CONFIG_MAPPING[kind](**({"rope_parameters": dict(rope), "max_position_embeddings": 32768} if rope else {}))
    saved = json.loads(config.to_json_string())
    completed = with_older_keys(saved)
    if "rope_scaling" in expected:
        scaling = {key: value for key, value in expected["rope_scaling"].items() if key != "rope_theta"}
        expected = {**expected, "rope_scaling": scaling}
    assert {key: value for key, value in completed.items() if key not in saved} == expected

    write_json_atomically(tmp_path / "config.json", completed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = AutoConfig.from_pretrained(tmp_path)
    assert getattr(loaded, "rope_parameters", None) == getattr(config, "rope_parameters", None)


def test_a_value_in_rope_parameters_wins_over_the_older_name(tmp_path):
    config = with_older_keys(json.loads(CONFIG_MAPPING["llama"]().to_json_string()))
    write_json_atomically(tmp_path / "config.json", {**config, "rope_theta": 77.0})
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters["rope_theta"] == 10000.0


def bpe(**parts):
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    for name, part in parts.items():
        setattr(core, name, part)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special[:3], show_progress=False)
    core.train_from_iterator(["▁def▁find(numbers):\n▁▁return▁max\n▁hello▁Hi"] * 8, trainer)
    core.add_tokens(special[3:])
    return core


def byte_level(**special):
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(["def find(numbers):\n  return max\nhello Hi"] * 8, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", **special)


def prepending():
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    core = bpe(normalizer=normalizers.Sequence(steps))
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama(*, legacy):
    core = bpe(pre_tokenizer=pre_tokenizers.Metaspace(split=False))
    vocabulary, merges = json.loads(core.to_str())["model"]["vocab"], json.loads(core.to_str())["model"]["merges"]
    return LlamaTokenizer(vocab=vocabulary, merges=[tuple(one) for one in merges], legacy=legacy)


TOKENIZERS = {
    "byte level, no BOS": byte_level,
    "byte level, BOS not added": lambda: byte_level(bos_token="<s>"),
    "prepending": prepending,
    "legacy Llama": lambda: llama(legacy=True),
    "Llama": lambda: llama(legacy=False),
}


def facts(tokenizer):
    """What two readings of one folder must agree on."""
    ids = [tokenizer(text, add_special_tokens=adds)["input_ids"] for text in TEXTS for adds in (True, False)]
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": " a"}]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False)
    special = [tokenizer.bos_token, tokenizer.eos_token, sorted(tokenizer.all_special_tokens), len(tokenizer)]
    return [ids, [tokenizer.decode(one) for one in ids], rendered, special]


READ_BY_4 = f"""
import json, sys
from transformers import AutoTokenizer
TEXTS = {TEXTS!r}
{inspect.getsource(facts)}
print(json.dumps([facts(AutoTokenizer.from_pretrained(one)) for one in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Each of `TOKENIZERS` with a template: the one of training, and the folder where it was saved."""
    found = {}
    for name, make in TOKENIZERS.items():
        tokenizer, folder = make(), tmp_path_factory.mktemp("tokenizer")
        ensure_chat_template(tokenizer)
        tokenizer.save_pretrained(folder)
        complete_tokenizer_config(folder, tokenizer)
        found[name] = (tokenizer, folder)
    return found


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_saved_tokenizer_is_the_trained_one(saved, name):
    tokenizer, folder = saved[name]
    loaded = AutoTokenizer.from_pretrained(folder)
    assert facts(loaded) == facts(tokenizer)
    assert tokenizer_sha256(loaded) == tokenizer_sha256(tokenizer)
    assert template_sha256(loaded) == template_sha256(tokenizer)


def test_transformers_4_reads_the_same_tokens_and_template(saved):
    python = os.environ.get("TRANSFORMERS_4_PYTHON")
    if not python:
        pytest.skip("set TRANSFORMERS_4_PYTHON to the Python of an environment with transformers 4.57")
    command = [python, "-c", READ_BY_4, *(str(folder) for _, folder in saved.values())]
    read = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert dict(zip(saved, read, strict=True)) == {name: facts(tokenizer) for name, (tokenizer, _) in saved.items()}


def test_names_of_transformers_4_and_the_template_are_in_tokenizer_config(saved):
    tokenizer, folder = saved["byte level, no BOS"]
    config = read_json(folder / "tokenizer_config.json")
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["additional_special_tokens"] == ["<|im_start|>", "<|im_end|>"]
    assert "extra_special_tokens" not in config
    assert config["chat_template"] == tokenizer.chat_template == (folder / "chat_template.jinja").read_text()


def test_whether_bos_is_added_is_written_out(saved):
    added = {name: read_json(folder / "tokenizer_config.json")["add_bos_token"] for name, (_, folder) in saved.items()}
    assert added == {
        "byte level, no BOS": False, "byte level, BOS not added": False, "prepending": True, "legacy Llama": False,
        "Llama": False,
    }  # fmt: skip
    assert added_tokens(prepending()) == (True, False)


def test_named_templates_are_all_in_tokenizer_config(tmp_path):
    tokenizer = byte_level()
    tokenizer.chat_template = {"default": "{{ 1 }}", "tool_use": "{{ 2 }}"}
    tokenizer.save_pretrained(tmp_path)
    complete_tokenizer_config(tmp_path, tokenizer)
    named = read_json(tmp_path / "tokenizer_config.json")["chat_template"]
    assert named == [{"name": "default", "template": "{{ 1 }}"}, {"name": "tool_use", "template": "{{ 2 }}"}]
    assert load_tokenizer(str(tmp_path)).chat_template == tokenizer.chat_template


def test_two_templates_in_one_folder_are_refused(saved, tmp_path):
    shutil.copytree(saved["prepending"][1], tmp_path, dirs_exist_ok=True)
    template = Path(tmp_path / "chat_template.jinja")
    template.write_text(template.read_text().replace("user", "human") + "{{ 1 }}")
    with pytest.raises(UserError, match=r"tokenizer_config.json is not the one in .*chat_template.jinja"):
        load_tokenizer(str(tmp_path))
    template.unlink()
    assert load_tokenizer(str(tmp_path)).chat_template == saved["prepending"][0].chat_template


READ_BY_MLX = """
import json, sys
import mlx.core as mx
from mlx_lm import load
model, tokenizer = load(sys.argv[1])
print(json.dumps(model(mx.array([json.loads(sys.argv[2])]))[0].astype(mx.float32).tolist()))
"""


@pytest.mark.parametrize("rope", [ROPES["default"][1], LLAMA_3], ids=["theta", "scaled"])
def test_mlx_lm_computes_the_same_logits_without_a_bos_token(rope, saved, tmp_path):
    python = os.environ.get("MLX_PYTHON")
    if not python:
        pytest.skip('set MLX_PYTHON to the Python of an environment with mlx-lm (pip install "mlx[cpu]" mlx-lm)')
    tokenizer, _ = saved["byte level, no BOS"]
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer), **shape, rope_parameters=dict(rope), bos_token_id=None, eos_token_id=1,
        max_position_embeddings=512, initializer_range=0.2,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    complete_saved_model(tmp_path, tokenizer)
    ids = [place * 37 % len(tokenizer) for place in range(100)]
    command = [python, "-c", READ_BY_MLX, str(tmp_path), json.dumps(ids)]
    read = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(read), model(torch.tensor([ids])).logits[0], atol=1e-3, rtol=0)
