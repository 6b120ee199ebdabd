"""The families of models that freqq reads. One file a family; this is where they are registered."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from freqq.errors import UserError
from freqq.glm.families.base import Family

REGISTERED = {
    "glm4v": "freqq.glm.families.glm4v:Glm4v",
    "glm46v": "freqq.glm.families.glm46v:Glm46v",
    "glm4v_moe": "freqq.glm.families.glm4v_moe:Glm4vMoe",
    "glm_ocr": "freqq.glm.families.glm_ocr:GlmOcr",
    "glmga": "freqq.glm.families.glmga:Glmga",
    "qwen2_5_vl": "freqq.glm.families.qwen2_5_vl:Qwen25VL",
    "qwen3_vl": "freqq.glm.families.qwen3_vl:Qwen3VL",
    "internvl": "freqq.glm.families.internvl:InternVL",
}
"""freqq's own families. Another package adds its by an entry point of the group `GROUP`, in the same form."""

GROUP = "freqq.families"
EMBEDDED = "tiny"
"""The name of the model inside the package."""

GUIDE = "examples/new_family.md"
_ADDED: list[Family] = []


def register(family: Family) -> None:
    """Add a family in this process alone; processes that a run starts see it only by an entry point."""
    _ADDED.append(family)


@cache
def _installed() -> tuple[Family, ...]:
    own = (EntryPoint(name, path, GROUP) for name, path in REGISTERED.items())
    return tuple(_loaded(point) for point in (*own, *entry_points(group=GROUP)))


def _loaded(point: EntryPoint) -> Family:
    try:
        family = point.load()()
    except Exception as error:  # whatever a package that is not ours raises
        raise UserError(f"the family {point.name} ({point.value}) cannot be used: {error}") from error
    if not isinstance(family, Family):
        raise UserError(f"the family {point.name} ({point.value}) is no freqq.glm.families.base.Family")
    return family


def families() -> tuple[Family, ...]:
    """All families; the first that serves a model type has it.

    Raises
    ------
    UserError
        If one that another package adds cannot be used.
    """
    return (*_installed(), *_ADDED)


def find_family(model_type: object) -> Family | None:
    """The family that serves a config.json's ``model_type``, if any does."""
    return next((family for family in families() if model_type in family.model_types), None)


def family_of(model_type: str) -> Family:
    """The family that serves a config.json's ``model_type``.

    Raises
    ------
    UserError
        If none does.
    """
    family = find_family(model_type)
    if family is None:
        raise UserError(f"models of type {model_type!r} are of no known family; {known()}")
    return family


def known() -> str:
    """What a user can do about a model that is of no family here."""
    names = ", ".join(family.name for family in families())
    return f"use {', '.join(short_names())}, or a checkpoint of {names}; {GUIDE} shows how to add a family"


def short_names() -> dict[str, str | None]:
    """What a user may type instead of a hub id, and that id; None for the model inside the package."""
    return {EMBEDDED: None} | {short: hub_id for family in families() for short, hub_id in family.short_names.items()}
