"""Where a run happens, as far as a recipe must know: a machine without an accelerator needs `use_cpu`."""

import sys
from typing import Any


def keys_for_this_machine(keys: dict[str, Any]) -> dict[str, Any]:
    """`keys` with `use_cpu: true` added, and said on stderr, where the machine has no accelerator.

    transformers refuses `bf16: true` on such a machine unless `use_cpu` is set, so one recipe could not run everywhere.
    """
    import torch

    if "use_cpu" in keys or torch.accelerator.is_available():
        return keys
    print("no accelerator found: training on the CPU (use_cpu: true)", file=sys.stderr)
    return {**keys, "use_cpu": True}
