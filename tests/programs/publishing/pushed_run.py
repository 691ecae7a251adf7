"""A recipe's run that pushed each save to a local Hub, for the tests of pushing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.conftest import PROJECT
from tests.hub.conftest import FAST_RETRIES
from tests.hub.run_folder import PUBLISHED
from tests.hub_server.server import LocalHub, Repository, ask_from_this_process

USER = "-".join(("grete", "maier"))  # in pieces: a lock has the diff of a checkout that was changed, this file's too
OF_A_RUN = PUBLISHED | {".gitattributes"}
OF_A_MODEL = {
    ".gitattributes", "README.md", "chat_template.jinja", "config.json", "generation_config.json", "lock.json",
    "model.safetensors", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
KEYS = (
    "--use_peft true --lora_r 4 --bf16 false --activation_checkpointing false --report_to none --disable_tqdm true "
    "--max_length 128 --max_steps 2 --logging_steps 1 --save_steps 1 --eval_strategy no --doctor off --n_samples 0"
)


@dataclass(frozen=True)
class Pushed:
    """A recipe's run that pushed each save: below the home folder of a user whose name must not leave."""

    hub: LocalHub
    token: str
    home: Path
    run: Path
    log: str

    @property
    def there(self) -> Repository:
        return self.hub.repository("me/mine")

    def environment(self) -> dict[str, str]:
        ours = {"HOME": str(self.home), "USER": USER, "LOGNAME": USER}
        return {**self.hub.environment(self.token), **ours}


@contextmanager
def pushed_run(base: Path, root: Path) -> Iterator[Pushed]:
    """sft.py on `base` in a process of its own, below `root`, and this process' client turned to its Hub."""
    home = root / USER
    (home / "rows").mkdir(parents=True)
    rows = [{"instruction": f"Say {n}.", "output": f"{n} it is"} for n in range(12)]
    (home / "rows" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "base").symlink_to(base)
    with LocalHub(root / "hub") as hub, pytest.MonkeyPatch.context() as patch:
        ask_from_this_process(hub, patch)
        token = hub.add_user("me")
        patch.setenv("HF_TOKEN", token)
        patch.setattr("pipelines.hub.repository.RetryPolicy", lambda: FAST_RETRIES)
        HfApi(token=token).create_repo("me/base")
        HfApi(token=token).upload_folder(repo_id="me/base", folder_path=base)
        half = Pushed(hub, token, home, home / "runs" / "mine", "")
        where = f"--model_name_or_path {home}/base --dataset_name {home}/rows/rows.jsonl --output_dir {half.run}"
        pushing = f"--push_to_hub true --hub_strategy every_save --hub_base_model me/base --hub_token {token}"
        done = subprocess.run(
            [sys.executable, str(PROJECT / "pipelines/sft.py"), *f"{KEYS} {where} {pushing}".split()],
            env={name: value for name, value in half.environment().items() if name != "HF_TOKEN"},
            cwd=PROJECT, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield Pushed(hub, token, home, half.run, done.stdout + done.stderr)
