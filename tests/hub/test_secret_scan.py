"""The last look: what is private is found in every kind of file and named by file and line, never repeated."""

import json
import random
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.hub.secret_scan import LocalSecrets, local_secrets, refuse_secrets
from pipelines.hub.upload_files import UploadFile
from tests.data_prep.cleaning.made_keys import MAKERS
from tests.hub.run_folder import write_weights

TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
SECRET = "w4nd8-k3y-value"
HERE = LocalSecrets(tokens=(SECRET,), home="/home/grete", user="grete")


def leak_in(content: Path | str | bytes, name: str = "lock.json") -> str:
    """What is said of a file with `content`, beside one that is clean."""
    content = content.encode() if isinstance(content, str) else content
    clean = UploadFile("config.json", b'{"model_type": "llama"}')
    with pytest.raises(UserError) as caught:
        refuse_secrets([clean, UploadFile(name, content)], HERE)
    said = str(caught.value)
    assert "nothing was sent" in said
    for private in (TOKEN, SECRET, "/home/grete"):
        assert private not in said
    return caught.value.problem.removeprefix("the upload contains ")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"token: {TOKEN}", "a token"),
        (json.dumps({"diff": f"+x:\n{TOKEN}\n"}), "a token"),
        (TOKEN.replace("hf_", "api_org_"), "a token"),
        (f"key={SECRET}", "a token"),
        ("loaded from /home/grete/base", "the path of the home folder"),
        ('{"cwd": "/home/grete"}', "the path of the home folder"),
        ("see /data/grete/rows.jsonl", "the user's name in a path"),
        (r"C:\Users\grete", "the user's name in a path"),
    ],
)
def test_what_is_private_is_named_by_file_and_line(line, what):
    assert leak_in(f"one\ntwo\n{line}\nfour") == f"{what} in lock.json (line 3)"


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ("HUGGING_FACE_TOKEN", "PRIVATE_KEY")])
def test_keys_of_other_services_are_named_by_kind(name):
    key = MAKERS[name](random.Random(0))
    assert leak_in(f"one\nkey: {key}\n") == f"a credential ({name}) in lock.json (line 2)"


@pytest.mark.parametrize(
    "line",
    [
        "grete wrote this",
        "see https://huggingface.co/grete/base",
        "/home/gretel/base",
        "/data/gretel",
        "the class hf_raise_for_status_and_more_words",
        "hf_short",
        "fingerprint sha256:0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
    ],
)
def test_what_only_looks_like_it_passes(line):
    refuse_secrets([UploadFile("README.md", line.encode())], HERE)


def test_all_leaks_are_told_at_once_and_many_are_counted():
    assert leak_in(f"{TOKEN}\n" * 7).endswith("(line 5) and 2 more")


def test_the_header_of_safetensors_is_read(tmp_path):
    path = write_weights(tmp_path / "model.safetensors", metadata={"from": "/home/grete/base"})
    assert leak_in(path, path.name) == "the path of the home folder in model.safetensors (its header)"
    refuse_secrets([UploadFile("model.safetensors", write_weights(tmp_path / "clean.safetensors"))], HERE)


def test_the_metadata_of_gguf_is_read():
    assert "its metadata" in leak_in(b"GGUF\x03\x00general.source\x00/home/grete/base\x00", "mine.gguf")
    assert "a token in mine.gguf" in leak_in(b"GGUF\x03" + TOKEN.encode(), "mine.gguf")


def test_a_vocabulary_may_have_any_path_as_a_token_but_no_secret():
    model = {"vocab": {"/home/grete": 0, "/grete/": 1}, "merges": ["/home /grete"]}
    tokenizer = {"model": model, "added_tokens": []}
    refuse_secrets([UploadFile("tokenizer.json", json.dumps(tokenizer).encode())], HERE)
    refuse_secrets([UploadFile("vocab.json", json.dumps(model["vocab"]).encode())], HERE)
    assert leak_in(json.dumps({TOKEN: 0}), "vocab.json") == "a token in vocab.json (line 1)"


def test_what_stands_beside_the_vocabulary_is_looked_at():
    tokenizer = {"model": {"vocab": {}, "merges": []}, "post_processor": {"from": "/home/grete/x"}}
    assert leak_in(json.dumps(tokenizer, indent=2), "tokenizer.json").endswith("the home folder in tokenizer.json")


def test_a_tokenizer_with_thousands_of_added_tokens_without_secrets_passes():
    added = [{"id": number, "content": f"<unused{number}>"} for number in range(6_000)]
    model = {"vocab": {f"t{number}": number for number in range(60_000)}}
    file = UploadFile("tokenizer.json", json.dumps({"added_tokens": added, "model": model}, indent=2).encode())
    refuse_secrets([file], HERE)


def test_private_is_what_the_environment_says(monkeypatch, tmp_path):
    for name, value in {"HOME": str(tmp_path), "USER": "grete", "HF_TOKEN": TOKEN, "WANDB_API_KEY": SECRET,
                        "SOME_TOKEN": "short", "PATH_OF_THINGS": "/long/enough/but/no/secret"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    here = local_secrets("me", "a-token-of-the-recipe")
    assert {TOKEN, SECRET, "a-token-of-the-recipe"} <= set(here.tokens)
    assert not {"short", "/long/enough/but/no/secret"} & set(here.tokens)
    assert (here.home, here.user) == (str(tmp_path), "grete")
    assert local_secrets("grete").user is None


def test_without_a_home_folder_no_slash_is_taken_for_one(monkeypatch):
    for name, value in {"HOME": "/", "USER": "", "LOGNAME": ""}.items():
        monkeypatch.setenv(name, value)
    here = local_secrets("me")
    card = UploadFile("README.md", b'[me/base](https://huggingface.co/me/base) // {"a": "/"}')
    refuse_secrets([card, UploadFile("mine.gguf", b"GGUF//x")], here)
    with pytest.raises(UserError, match="a token"):
        refuse_secrets([UploadFile("mine.gguf", b"GGUF" + TOKEN.encode())], here)
