"""Old and unknown keys are findings: each kind once, with every key, and a fix where the new name is certain."""

import pytest
from trl import ModelConfig, SFTConfig

from pipelines.errors import UserError
from pipelines.preflight.autofix import fixed_recipe, fixes_of
from pipelines.preflight.captured_errors import CapturedErrors, config_findings
from pipelines.recipe import parse_recipe
from pipelines.recipe.arguments import DataArguments
from pipelines.recipe.parsing import parse_leniently
from pipelines.records.finding import Severity

KINDS = [DataArguments, SFTConfig, ModelConfig]
OLD = """\
# An old recipe
torch_dtype: bfloat16  # half
max_seq_length: 512
overwrite_output_dir: true
chat_template: a.jinja
learnig_rate: 1.0e-4
color: red
report_to: none
bf16: false
"""


def test_old_and_unknown_keys_are_two_errors_with_all_their_keys(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(OLD)
    findings = config_findings(parse_leniently(KINDS, ["--config", str(path)])[1])
    assert [(one.id, one.severity) for one in findings] == [
        ("RENAMED_KEY", Severity.ERROR), ("UNKNOWN_KEY", Severity.ERROR),
    ]  # fmt: skip
    renamed, unknown = findings
    assert renamed.summary == (
        "4 keys have an old name: `torch_dtype`, `max_seq_length`, `overwrite_output_dir`, `chat_template`"
    )
    assert "`max_seq_length` is now max_length; " in renamed.remedy
    assert unknown.remedy == (
        "`learnig_rate`: did you mean `learning_rate`?; `color`: remove it, or see recipes/README.md"
    )
    assert unknown.fix == {}
    assert fixed_recipe(OLD, fixes_of(findings)) == (
        OLD.replace("torch_dtype", "dtype").replace("max_seq_length", "max_length")
        .replace("overwrite_output_dir: true\n", "")
    )  # fmt: skip


def test_what_a_trainer_refuses_is_a_finding_and_an_error_without_an_id_is_raised():
    refused = CapturedErrors()
    assert refused.call(lambda: _raise(UserError("TRL rejects it", "change a", finding="TRAINING_IMPOSSIBLE"))) is None
    [finding] = refused.findings
    assert (finding.id, finding.severity) == ("TRAINING_IMPOSSIBLE", Severity.ERROR)
    assert (finding.summary, finding.remedy) == ("TRL rejects it", "change a")
    with pytest.raises(UserError, match="no base"):
        refused.call(lambda: _raise(UserError("no base")))


def _raise(error: UserError) -> None:
    raise error


def test_a_recipe_without_faults_has_no_findings():
    assert config_findings([]) == []


def test_a_fixed_recipe_is_one_that_runs(tmp_path):
    path = tmp_path / "recipe.yaml"
    lines = [line for line in OLD.split("\n") if not line.startswith(("chat_template", "learnig", "color"))]
    path.write_text("\n".join(lines))
    fixes = fixes_of(config_findings(parse_leniently(KINDS, ["--config", str(path)])[1]))
    path.write_text(fixed_recipe(path.read_text(), fixes))
    assert parse_recipe(KINDS, ["--config", str(path)]).arguments[1].max_length == 512
