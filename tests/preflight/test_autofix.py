"""A recipe is fixed as a person would do it: its lines change, its comments, order and blank lines stay."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.errors import UserError
from pipelines.preflight.autofix import diff_of, fixed_recipe, fixes_of, unified_diff, write_fixed
from pipelines.recipe.arguments import TruncationPolicy
from pipelines.records.finding import Finding, Severity
from tests.twins.runs import RECIPES

RECIPE = (Path(__file__).parent / "recipe_to_fix.yaml").read_text(encoding="utf-8")


def finding(finding_id: str, **fix: object) -> Finding:
    return Finding(finding_id, Severity.ERROR, "", "", "", fix=fix)


def changed(before: str, after: str) -> list[str]:
    diff = unified_diff(Path("r.yaml"), before, after).split("\n")
    return [line for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---") and line]


# what changes, and the lines of the diff
CHANGES: list[tuple[dict[str, object], list[str]]] = [
    ({"learning_rate": 2e-05}, ["-learning_rate: 2.0e-4   # high", "+learning_rate: 2.0e-05   # high"]),
    ({"max_length": 64}, ["-max_length: 512", "+max_length: 64"]),  # not the nested key of the same name
    ({"packing": None}, ["-packing: true  # packed"]),
    ({"learning_rate": None}, ["-learning_rate: 2.0e-4   # high"]),
    ({"torch_dtype": None, "dtype": "bfloat16"},
     ['-torch_dtype: "bfloat16"  # the dtype', '+dtype: "bfloat16"  # the dtype']),
    ({"overwrite_output_dir": None, "eos_token": "<|im_end|>"},
     ["+eos_token: <|im_end|>", "-overwrite_output_dir: true"]),
    ({}, []),
    ({"max_length": 512, "absent": None}, []),
]  # fmt: skip


@pytest.mark.parametrize(("fixes", "diff"), CHANGES)
def test_only_the_lines_of_the_keys_change_and_their_comments_stay(fixes, diff):
    assert changed(RECIPE, fixed_recipe(RECIPE, fixes)) == diff


def test_a_removed_list_goes_with_all_its_lines_but_the_comment_after_it():
    after = fixed_recipe(RECIPE, {"datasets": None, "dataset_name": "rows.jsonl"})
    assert "dataset_name: rows.jsonl\n\n  # the end of the list\nmax_length: 512\n" in after
    assert "- path" not in after


@pytest.mark.parametrize(
    ("key", "value", "before"),
    [("lora_target_modules", "all-linear", "\n# Data"), ("attn_implementation", "sdpa", "\n# LoRA"),
     ("long_rows", TruncationPolicy.SPLIT, "\n# Training"), ("packing_strategy", "bfd", "\n# Training"),
     ("eos_token", "<|im_end|>", "\n# Training")],
)  # fmt: skip
def test_a_new_key_goes_to_the_end_of_its_section(key, value, before):
    assert f"{key}: {value}\n{before}" in fixed_recipe(RECIPE, {key: value})


GROUPED = {"group_by_length": None, "train_sampling_strategy": "group_by_length"}
WINDOWS = "seed: 1  # s\r\n\r\nmax_length: 5\r\ndatasets:\r\n  - path: a\r\n\r\nbf16: true\r\n"
# before, fixes, after
TEXTS: list[tuple[str, dict[str, object], str]] = [
    ("a: 1\ngroup_by_length: true  # faster\nb: 2\n", GROUPED,
     "a: 1\ntrain_sampling_strategy: group_by_length  # faster\nb: 2\n"),
    ("max_seq_length: 7\na: 1\nmax_length: 7\n", {"max_seq_length": None, "max_length": 7}, "a: 1\nmax_length: 7\n"),
    (RECIPE, {"weight_decay": 0.1, "warmup_steps": 5}, RECIPE + "weight_decay: 0.1\nwarmup_steps: 5\n"),
    ("# c\nlora_r: 3\n# end\n", {"seed": 1}, "# c\nlora_r: 3\nseed: 1\n# end\n"),
    # no line break at the end
    ("seed: 1", {"weight_decay": 0.1, "bf16": False}, "seed: 1\nweight_decay: 0.1\nbf16: false"),
    ("seed: 1\nbf16: true", {"bf16": None, "fp16": True}, "seed: 1\nfp16: true"),
    ("seed: 1\nno_cuda: true", {"no_cuda": None, "use_cpu": True}, "seed: 1\nuse_cpu: true"),
    ("seed: 1\nbf16: true", {"bf16": None}, "seed: 1\n"),
    (WINDOWS, {"max_length": 9, "datasets": None, "weight_decay": 0.5, "bf16": None},
     "seed: 1  # s\r\nweight_decay: 0.5\r\n\r\nmax_length: 9\r\n\r\n"),
    ('"max_seq_length": \'5\'  # five\noutput_dir: "a: b # c"  # d\n',
     {"max_seq_length": None, "max_length": 5, "output_dir": "x: y # z"},
     "max_length: 5  # five\noutput_dir: 'x: y # z'  # d\n"),
    ("a: |\n  # text\n\n# comment\nb: 1\n", {"a": None}, "\n# comment\nb: 1\n"),
    ("---\n  a: 1\n  b: 2\n...\n", {"a": 3, "seed": 4}, "---\n  a: 3\n  b: 2\n  seed: 4\n...\n"),
    ("a: 1\nb: 2\na: 3\n", {"a": 4}, "b: 2\na: 4\n"),  # a key that is written twice
    ("a: 1\nb: 2\na: 3\n", {"a": None}, "b: 2\n"),
    ("a: &x [1]\nb: *x\nc: 1\n", {"c": 2, "b": None}, "a: &x [1]\nc: 2\n"),
    ("a: &x [1]\nb: *x", {"b": 7}, "a: &x [1]\nb: 7"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "fixes", "after"), TEXTS)
def test_a_recipe_is_rewritten_as_a_person_would(before, fixes, after):
    assert fixed_recipe(before, fixes) == after


@pytest.mark.parametrize(
    "value",
    ["no", "1e-4", "null", "", " x", "- a", "[a", "a, b", "{a", "#", "@", "ключ", "a\nb", "<|im_end|>", "it's", True, 3,
     2e-5, 1e20, [1, "a, b"], ["no"], {"a": {"b": [1, None]}}, [], {}],
)  # fmt: skip
def test_every_value_is_read_back_as_it_was_meant(value):
    for before in ("a: 1\nb: x  # c\nd: 2\n", "a: 1\nb:\n- x\n- y\nd: 2\n", "a: 1\nb:\nd: 2\n", "a: 1\nd: 2\n"):
        assert yaml.safe_load(fixed_recipe(before, {"b": value})) == {"a": 1, "b": value, "d": 2}


@pytest.mark.parametrize(
    "old",
    ["b: [x,\n   y]  # c", "b: {x: 1,\n  y: 2}", "b:\n  - x\n  -   y: |\n        # text\n        more", "b:\n- x\n- y",
     "b:", "b:   # c", "b: |\n  text\n  # text\n\n  more", "b: >-\n  folded\n\n\n",
     "b: one\n  two\n  three", 'b: "one\n  two"',
     "b:\n  nested:\n    max_length: 1\n    # c\n    a: 1", "b:\n  # c\n  word", "b: !!str 5", "b : 5"],
)  # fmt: skip
def test_every_form_of_an_old_value_is_replaced_and_removed(old):
    before = f"# top\na: 1\n{old}\n\n# next\nc: 2\n"
    assert yaml.safe_load(before).keys() == {"a", "b", "c"}
    replaced, removed = fixed_recipe(before, {"b": 7}), fixed_recipe(before, {"b": None})
    assert yaml.safe_load(replaced) == {"a": 1, "b": 7, "c": 2}
    assert replaced.startswith("# top\na: 1\nb")
    assert replaced.endswith("\n\n# next\nc: 2\n")
    assert re.sub("\n{2,}", "\n\n", removed).endswith("# top\na: 1\n\n# next\nc: 2\n")


@pytest.mark.parametrize(
    "text", ["{a: 1, b: 2}\n", "a: &x [1]\nb: *x\n", "- a\n", "", "a: [\n", "base: &x {a: 1}\n<<: *x\n"]
)
def test_text_that_cannot_be_rewritten_is_refused(text):
    with pytest.raises(UserError, match="rewritten"):
        fixed_recipe(text, {"a": None})


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: "-".join(path.parts[-3:]))
def test_every_shipped_recipe_can_be_fixed(path):
    before = path.read_text()
    keys = yaml.safe_load(before)
    fixes = {"learning_rate": 0.5, "seed": None, "report_to": "none", "lora_r": 3, "datasets": [{"path": "a"}]}
    after = fixed_recipe(before, fixes)
    assert yaml.safe_load(after) == {key: one for key, one in {**keys, **fixes}.items() if one is not None}
    comments = [line for line in before.split("\n") if line.startswith("#")]
    assert [line for line in after.split("\n") if line.startswith("#")] == comments
    restored = fixed_recipe(after, {key: keys.get(key) for key in fixes})
    assert yaml.safe_load(restored) == keys


def test_the_worst_finding_is_followed_and_a_check_comes_before_a_value_kept():
    renamed = finding("RENAMED_KEY", max_seq_length=None, max_length=4096)
    found = [renamed, finding("LONGER_THAN_POSITIONS", max_length=1024), finding("B", max_length=7, seed=1)]
    assert fixes_of(found) == {"max_seq_length": None, "max_length": 1024, "seed": 1}


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the program patch")
def test_the_diff_is_one_that_patch_takes(tmp_path):
    for text in (RECIPE, RECIPE.replace("\n", "\r\n"), RECIPE.rstrip("\n")):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text.encode())
        fixes = {"torch_dtype": None, "dtype": "bfloat16", "learning_rate": 1e-5, "weight_decay": 0.1}
        diff = diff_of(path, fixes)
        assert path.read_bytes() == text.encode()
        done = subprocess.run(["patch", "--binary", str(path)], input=diff.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stdout
        patched = path.read_bytes()
        path.write_bytes(text.encode())
        write_fixed(path, fixes)
        assert path.read_bytes() == patched
        assert diff_of(path, fixes) == ""


def test_a_link_stays_a_link_and_a_byte_order_mark_is_no_hindrance(tmp_path):
    (tmp_path / "real.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\n")
    link = tmp_path / "recipe.yaml"
    link.symlink_to(tmp_path / "real.yaml")
    write_fixed(link, {"seed": 2})
    assert link.is_symlink()
    assert (tmp_path / "real.yaml").read_text() == "seed: 2\n"


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        diff_of(tmp_path / "absent.yaml", {"a": 1})


def test_a_token_is_never_printed_and_a_private_recipe_stays_private(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("hub_token: hf_secret\nmax_seq_length: 512\neos_token: <|end|>\n")
    recipe.chmod(0o600)
    fixes = {"max_seq_length": None, "max_length": 512}
    diff = diff_of(recipe, fixes)
    assert "hf_secret" not in diff
    assert "eos_token: <|end|>" in diff
    write_fixed(recipe, fixes)
    assert recipe.read_text() == "hub_token: hf_secret\nmax_length: 512\neos_token: <|end|>\n"
    assert recipe.stat().st_mode & 0o777 == 0o600
