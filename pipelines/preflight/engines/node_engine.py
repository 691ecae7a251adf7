"""@huggingface/jinja, the engine of Transformers.js in browsers and Node."""

import json
import shutil
import subprocess
from collections.abc import Sequence

from pipelines.preflight.engines.template_engine import Rendered, TemplateInput

_PACKAGE = "@huggingface/jinja"
_RENDER = """
const { Template } = require("@huggingface/jinja");
const { template, inputs } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const one = (variables) => {
    try { return [new Template(template).render(variables), ""]; }
    catch (error) { return [null, String(error.message)]; }
};
console.log(JSON.stringify(inputs.map(one)));
"""
# package.json is not among what the package exports
_VERSION = """
const path = require("path");
const main = require.resolve("@huggingface/jinja");
console.log(JSON.parse(require("fs").readFileSync(path.join(path.dirname(main), "..", "package.json"))).version);
"""


class HuggingFaceJinja:
    """The package as Node finds it from the current folder, with the variables that Transformers.js passes."""

    name = _PACKAGE
    how_to_install = f"npm install {_PACKAGE}"

    def version(self) -> str | None:
        """The version of the package; None without it or without Node."""
        if shutil.which("node") is None:
            return None
        done = subprocess.run(["node", "-e", _VERSION], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def render(self, template: str, inputs: Sequence[TemplateInput]) -> list[Rendered]:
        """Render in one process of Node."""
        task = json.dumps({"template": template, "inputs": [one.variables() for one in inputs]})
        done = subprocess.run(["node", "-e", _RENDER], input=task, capture_output=True, text=True, check=True)
        return [Rendered(*one) for one in json.loads(done.stdout)]
