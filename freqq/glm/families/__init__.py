"""The model families, one file each, and their registry."""

from freqq.errors import UserError
from freqq.glm.families.base import Family
from freqq.registry import Registry

FAMILIES: Registry[type[Family]] = Registry(
    "freqq.families",
    "freqq.glm.families.base:Family",
    {
        "glm4v": "freqq.glm.families.glm4v:Glm4v",
        "glm46v": "freqq.glm.families.glm46v:Glm46v",
        "glm4v_moe": "freqq.glm.families.glm4v_moe:Glm4vMoe",
        "glm_ocr": "freqq.glm.families.glm_ocr:GlmOcr",
        "glmga": "freqq.glm.families.glmga:Glmga",
        "qwen2_5_vl": "freqq.glm.families.qwen2_5_vl:Qwen25VL",
        "qwen3_vl": "freqq.glm.families.qwen3_vl:Qwen3VL",
        "internvl": "freqq.glm.families.internvl:InternVL",
    },
)
"""Families by the ``model_type`` of a config.json."""

EMBEDDED = ("tiny", "small")
"""The names of the models in the package, each in a folder of its name."""

GUIDE = "examples/new_family.md"


def families() -> dict[str, Family]:
    """All families by model type."""
    return {model_type: kind() for model_type, kind in FAMILIES.items()}


def find_family(model_type: object) -> Family | None:
    """The family of a config.json's ``model_type``, if there is one.

    Raises
    ------
    UserError
        If it is a plug-in that cannot be used.
    """
    return FAMILIES[model_type]() if isinstance(model_type, str) and model_type in FAMILIES else None


def family_of(model_type: str) -> Family:
    """The family of a config.json's ``model_type``.

    Raises
    ------
    UserError
        If there is none.
    """
    family = find_family(model_type)
    if family is None:
        raise UserError(f"models of type {model_type!r} are of no known family; {known()}")
    return family


def known() -> str:
    """Advice for a model of an unknown family."""
    names = ", ".join(family.name for family in families().values())
    return f"use {', '.join(short_names())}, or a checkpoint of {names}; {GUIDE} shows how to add a family"


def check_engine(family: Family) -> None:
    """Refuse a family that vLLM does not serve with freqq's plug-in.

    Raises
    ------
    UserError
        With those that it serves.
    """
    if family.engine is None:
        raise UserError(
            f"freqq's plug-in for vLLM does not compress the tokens of {family.name}: use --backend local, or a model "
            f"of {', '.join(served())}"
        )


def served() -> list[str]:
    """The names of the families that vLLM serves with freqq's plug-in."""
    return [family.name for family in families().values() if family.engine]


def short_names() -> dict[str, str | None]:
    """Short names of models and their hub ids; None for those in the package."""
    found = {short: hub_id for family in families().values() for short, hub_id in family.short_names.items()}
    return dict.fromkeys(EMBEDDED) | found
