"""Keys and passwords are replaced by typed marks; names, hashes, examples and placeholders stay.

No test compares texts by `==` inside an assert: a failure would print the key.
"""

import base64
import json
import random
import string

import pytest

from data_prep.cleaning.row_texts import RowText, row_texts, with_texts
from data_prep.cleaning.step import Rejected
from data_prep.cleaning.steps.credentials import STEPS, SecretsOptions
from data_prep.conversation import unknown_role_reason
from tests.data_prep.cleaning.made_keys import LETTERS, MAKERS, text_of

N = 200


def verdict(*texts, **options):
    return STEPS[0].make(SecretsOptions(**options))([RowText("user", text) for text in texts])


def is_replaced(text, expected):
    found = verdict(text)
    return found is not None and found.texts[0] == expected and found.is_secret


@pytest.mark.parametrize("name", MAKERS)
def test_each_kind_of_key_becomes_its_mark(name):
    generator = random.Random(1)
    keys = [MAKERS[name](generator) for _ in range(N)]
    for form in ("{}", "export KEY={}\n", 'client = Client("{}")', "the key is {}.", '{{"a": "{}"}}'):
        n_found = sum(is_replaced(form.format(key), form.format(f"<{name}>")) for key in keys)
        assert n_found >= 0.95 * N, (form, n_found)


FORMS = (
    'password = "{}"', "API_KEY={}",
    "'secret_key': '{}'", 'aws_secret_access_key = "{}"', '"accessToken": "{}"', "pwd: '{}'",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
@pytest.mark.parametrize("alphabet", [LETTERS, "0123456789abcdef", LETTERS + "+/"], ids=["letters", "hex", "base64"])
def test_random_values_that_are_assigned_to_a_name_of_a_secret_are_replaced(form, alphabet):
    generator = random.Random(2)
    n_found = sum(is_replaced(form.format(text_of(generator, alphabet, 40)), form.format("<SECRET>")) for _ in range(N))
    assert n_found >= 0.95 * N, n_found


def test_passwords_in_addresses_and_bearer_tokens_are_replaced():
    generator = random.Random(3)
    password, token = text_of(generator, LETTERS, 14) + "7", text_of(generator, LETTERS, 40)
    assert is_replaced(f"postgres://app:{password}@db.firm.org/x", "postgres://app:<PASSWORD>@db.firm.org/x")
    assert is_replaced(f"Authorization: Bearer {token}", "Authorization: Bearer <SECRET>")


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7" + "EXAMPLE",
        "ghp_" + "x" * 36,
        "ghp_" + "aB3" * 12,  # the checksum is wrong
        "hf_your_token_goes_here_please and hf_raise_for_status_and_more_words",
        "sk-your-api-key-goes-right-here-1234567890abcdef",
        "sk-" + "1" * 48,
        "a risk-averse-and-task-oriented-desk-research-approach",
        'api_key = "YOUR_API_KEY_1234567890"',
        'password = "correct horse battery staple"',
        'password = "my-super-secret-password-2024"',
        "token = tokenizer.convert_tokens_to_ids(tokens[0:12345])",
        'tokenizer_name = "allenai/tulu-2-dpo-7b", token_class: "SeamlessM4TTokenizer"',
        "secret_key = os.environ['SECRET_KEY_FOR_PRODUCTION']",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 and md5 d41d8cd98f00b204e9800998ecf8427e",
        "postgres://user:password@localhost/db and https://user:${PASSWORD}@host.com and http://a:b@c",
        "https://firm.org/a/very/long/path/with-Many_Parts/and/0123456789/numbers?token=abc",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "The header -----BEGIN RSA PRIVATE KEY----- means that a key in PEM format follows, as RFC 7468 says.",
        "publicKeyToken=" + '"1fc8b3b9a1e18e3b"',
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
        + ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0" + ".c2lnbmF0dXJlLW9mLWp3dA",
    ],
)  # fmt: skip
def test_placeholders_names_hashes_and_published_examples_stay(text):
    assert verdict(text) is None


def test_a_whole_private_key_is_one_mark_and_a_cut_one_too():
    block = MAKERS["PRIVATE_KEY"](random.Random(4))
    assert is_replaced(f"cat id_rsa\n{block}\nDone.", "cat id_rsa\n<PRIVATE_KEY>\nDone.")
    assert is_replaced(block[:300], "<PRIVATE_KEY>")
    assert is_replaced(json.dumps({"key": block}), '{"key": "<PRIVATE_KEY>"}')


def test_the_same_key_has_the_same_mark_in_the_whole_row():
    generator = random.Random(5)
    one, other = (MAKERS["GITHUB_TOKEN"](generator) for _ in range(2))
    found = verdict(f"use {one}", f"I use {one} and {other}")
    assert list(found.texts) == ["use <GITHUB_TOKEN>", "I use <GITHUB_TOKEN> and <GITHUB_TOKEN_2>"]
    assert found.counts == {"github_token": 3}


def test_keys_in_the_arguments_of_tool_calls_are_replaced():
    key = MAKERS["STRIPE_KEY"](random.Random(6))
    call = {"type": "function", "function": {"name": "pay", "arguments": {"auth": {"key": key}, "amount": 3}}}
    row = {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    found = STEPS[0].make(SecretsOptions())(row_texts(row))
    arguments = with_texts(row, found.texts)["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert json.dumps(arguments) == '{"auth": {"key": "<STRIPE_KEY>"}, "amount": 3}'


def test_reject_names_the_kinds_and_never_the_keys():
    found = verdict(MAKERS["NPM_TOKEN"](random.Random(7)), action="reject")
    assert found == Rejected("secrets", {"npm_token": 1}, is_secret=True)


def test_long_runs_of_one_kind_of_character_take_linear_time():
    begin = "-" * 5 + "BEGIN PRIVATE KEY" + "-" * 5
    for text in (
        "token=" * 50_000, "sk-" * 100_000, "a" * 300_000, begin * 10_000, "eyJ." * 80_000, "x://" * 80_000,
        "secret " + "-" * 300_000, string.ascii_letters * 5_000,
    ):  # fmt: skip
        assert verdict(text) is None


def test_a_key_of_openssh_is_found_though_all_begin_alike():
    generator = random.Random(5)
    head = base64.b64encode(
        b"openssh-key-v1\0" + bytes([0, 0, 0, 4]) + b"none" + bytes([0, 0, 0, 4]) + b"none" + bytes(7)
    )
    body = head.decode() + text_of(generator, string.ascii_letters + string.digits, 300)
    lines = "\n".join(body[start : start + 70] for start in range(0, len(body), 70))
    name = "OPENSSH PRIVATE KEY"
    block = f"{'-' * 5}BEGIN {name}{'-' * 5}\n{lines}\n{'-' * 5}END {name}{'-' * 5}"
    assert is_replaced(f"cat id\n{block}\nDone.", "cat id\n<PRIVATE_KEY>\nDone.")


def test_slack_tokens_with_long_numbers_are_found():
    generator = random.Random(6)
    tokens = [f"xoxb-{'1234567890' * 1}12-{generator.randrange(10**12, 10**13)}-" +
              text_of(generator, string.ascii_letters + string.digits, 24) for _ in range(20)]  # fmt: skip
    assert sum(is_replaced(f"token {one} here", "token <SLACK_TOKEN> here") for one in tokens) >= 19


def test_a_reason_never_holds_the_text_of_a_wrong_role():
    assert unknown_role_reason("narrator") == "unknown_role: narrator"
    assert unknown_role_reason("bob@firm.org") == unknown_role_reason("A whole sentence.") == "unknown_role"
