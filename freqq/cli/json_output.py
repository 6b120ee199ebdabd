"""What ``--json`` prints."""

import json
from math import isfinite
from typing import Any

import typer


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that JSON does not have (the PSNR of equal pages is infinite) become null."""
    typer.echo(json.dumps(_finite(value), indent=2, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
