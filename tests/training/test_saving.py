"""What the trainers save, at checkpoints and at the end."""

import os

import pytest

from pipelines.files import read_json
from tests.training.sft_runs import LORA


@pytest.mark.parametrize("how", [LORA, "--max_steps 3 --learning_rate 1e-3"], ids=["adapter", "model"])
def test_every_saved_folder_is_readable_by_the_group_and_complete(run_sft, tmp_path, how):
    before = os.umask(0o027)
    try:
        run_sft(tmp_path, f"{how} --save_strategy steps --save_steps 2")
    finally:
        os.umask(before)
    for folder in (tmp_path, tmp_path / "checkpoint-2"):
        files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()}
        assert set(files.values()) == {0o640}, files
        assert "generation_config.json" in files
        config = read_json(folder / "tokenizer_config.json")
        assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert config["chat_template"] == (folder / "chat_template.jinja").read_text()
        if "config.json" in files:
            assert read_json(folder / "config.json")["rope_theta"] == 10000.0
