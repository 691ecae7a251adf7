"""Values as JSON can hold them, without anything named like a secret."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

_SECRETS = {"hub_token", "push_to_hub_token", "token", "hf_token"}


def plain(value: Any) -> Any:
    """`value` with paths and enums as JSON can hold them, and without anything named like a secret.

    A dataclass, such as an entry of `datasets`, is a mapping of the fields that are set.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {key: one for key, one in vars(value).items() if one is not None}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if str(k).lower() not in _SECRETS}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, str | int | float | bool | None) else str(value)
