"""Load a model by name, folder or hub id, and refuse models of unknown families."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from packaging.version import Version
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig
from transformers.utils import logging

from freqq.errors import FreqqError, UserError
from freqq.glm import sdpa
from freqq.glm.device_errors import classified, is_broken_device
from freqq.glm.families import check_engine, family_of, find_family, known, short_names
from freqq.glm.families.base import Family
from freqq.glm.file_digest import READ_FILES, digest
from freqq.glm.memory import check_fits, memories, weight_bytes
from freqq.glm.place import Placement, place
from freqq.glm.processor import read_tokenizer
from freqq.glm.quantization import check_quantizable, weights_config
from freqq.glm.reader import Reader
from freqq.names import unknown

LEAST_TRANSFORMERS = Version("5.19")
HUB_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Weights:
    """A model's files: its name, their folder, and a revision that changes with their content."""

    name: str
    folder: Path
    revision: str


def load_reader(
    model: str,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    attention: str = "auto",
    quantization: str | None = None,
) -> Reader:
    """Load a model of a family in `freqq.glm.families`.

    Parameters
    ----------
    model : str
        ``tiny``, ``small`` or another short name (`freqq.glm.families.short_names`), a folder, or a hub id such as
        ``zai-org/GLM-4.6V-Flash``.
    revision : str, optional
        Branch, tag or commit of a hub model. `Reader.revision` is always the commit, or a digest for a folder.
    dtype, device, attention, quantization
        As for `freqq.glm.place.place`.

    Raises
    ------
    UserError
        If there is no such model, its family is unknown, its files are incomplete, or the hub cannot be reached.
    """
    placement = place(dtype, device, attention=attention, quantization=quantization)
    return load(find(model, revision), placement)


def load(weights: Weights, placement: Placement) -> Reader:
    """Load a model from its files; see `load_reader` for further errors.

    Raises
    ------
    FreqqError
        If it does not fit into memory, usually before anything is read; `BrokenDevice` if the device fails.
    UserError
        If transformers is too old to accept pages that were seen before.
    """
    if Version(transformers.__version__) < LEAST_TRANSFORMERS:
        raise UserError(
            f"a model in this process needs transformers {LEAST_TRANSFORMERS}, and {transformers.__version__} is "
            "installed: update it, or use --backend vllm or a server"
        )
    try:
        check_memory(weights, placement)
        with quiet():
            return _load(weights, placement)
    except FreqqError:
        raise
    except torch.OutOfMemoryError as error:
        raise FreqqError(f"{weights.name} does not fit into the memory of {placement.device}") from error
    except Exception as error:  # the libraries raise anything for damaged files
        if is_broken_device(error):
            raise classified(error) from error
        raise UserError(f"cannot load {weights.name}: {_one_line(error)}") from error


def check_memory(weights: Weights, placement: Placement) -> None:
    """Raise `FreqqError` if the weights alone do not fit into memory; ValueError or OSError for a damaged header."""
    on_cpu = placement.device == "cpu"
    replicas = placement.replicas if on_cpu else 1
    if replicas > 1:
        way_out = f"use fewer than {replicas} workers"
    elif on_cpu:
        way_out = "use a GPU or more memory"
    else:
        way_out = "use more GPUs" if placement.spread else "spread it over several with --device-map auto"
    if placement.dtype == "float32":
        way_out += ", or --dtype bfloat16"
    needed = weight_bytes(weights.folder, placement.dtype, placement.quantization) * replicas
    form = placement.quantization or placement.dtype
    check_fits(weights.name, needed, form, memories(placement.device, placement.spread), way_out)


TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
"""What is kept of a checkpoint's ``generation_config.json``."""


def _load(weights: Weights, placement: Placement) -> Reader:
    name, folder = weights.name, weights.folder
    local = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(folder, **local)
    family = family_of(config.model_type)
    if placement.attention == "flash_attention_2" and not family.flash_attention:
        raise UserError(f"{name} cannot be read with flash_attention_2: {family.name} needs --attention sdpa")
    options: dict[str, Any] = {} if placement.device == "cpu" else {"device_map": torch.device(placement.device)}
    if placement.spread:
        options = {"device_map": "auto"}
    if placement.quantization is not None:
        check_quantizable(name, family)
        options.setdefault("device_map", torch.device(placement.device))
        options["quantization_config"] = weights_config(placement.quantization, getattr(torch, placement.dtype), family)
    attention = sdpa.register() if placement.attention == "sdpa" else placement.attention
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        folder,
        config=config,
        dtype=getattr(torch, placement.dtype),
        use_safetensors=True,
        attn_implementation=attention,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # _check_weights refuses them with a clear message
        **local,
        **options,
    )
    model, report = loaded
    _check_weights(name, family, report)
    # What else a checkpoint suggests (Qwen2.5-VL a repetition penalty) would hold for greedy answers, too, and beside
    # the decoding that was asked for.
    suggested = model.generation_config
    model.generation_config = GenerationConfig(**{name: getattr(suggested, name) for name in TOKENS})
    return Reader(model.eval(), read_tokenizer(folder), family.read_image_processor(folder), name, weights.revision)


def _check_weights(name: str, family: Family, report: dict[str, Any]) -> None:
    """Refuse missing or mismatched weights, which transformers would initialize randomly with only a warning."""
    missing, other = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    resized = sorted(str(key[0]) for key in report["mismatched_keys"])
    if resized or (missing and other):
        why = f"{resized[0]} has another size" if resized else f"there is no {missing[0]}, but {other[0]}"
        raise UserError(
            f"{name} says that it is a {family.name}, but its weights are another model's ({why}): get the files again"
        )
    if missing:
        raise UserError(f"{name} lacks {len(missing)} of its weights, {missing[0]} among them: get the files again")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress transformers' progress bar and load report; problems are raised as errors."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def find(name: str, revision: str | None = None, in_vllm: bool = False) -> Weights:
    """The files of a model; for a hub model, downloads only those that loading reads.

    Parameters
    ----------
    in_vllm : bool
        Whether it is for vLLM with freqq's plug-in.

    Raises
    ------
    UserError
        If there is no such model, its family is unknown or not served by vLLM, or the hub cannot be reached.
    """
    weights = replace(_find(name, revision, in_vllm), name=name)
    _check_family(name, weights.folder / "config.json", in_vllm)
    return weights


def family_in(weights: Weights) -> Family:
    """The family of a model."""
    return family_of(json.loads((weights.folder / "config.json").read_text())["model_type"])


def _find(name: str, revision: str | None, in_vllm: bool) -> Weights:
    short = short_names()
    if name in short:
        hub_id = short[name]
        return _hub(hub_id, revision, in_vllm) if hub_id else _folder(Path(__file__).parent / name, name, revision)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path, name, revision)
    if path.exists():
        raise UserError(f"{name} is a file: give the model's folder")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"there is no folder {name}")
    if "/" in name:
        return _hub(name, revision, in_vllm)
    raise UserError(f"{unknown('model', name, short)}; or a hub id (owner/name), or a folder")


def _folder(folder: Path, name: str, revision: str | None) -> Weights:
    if revision is not None:
        raise UserError(f"a revision is for models on the hub, and {name} is a folder")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is not a model: it has no config.json")
    return Weights(name, folder, digest(folder))


def _hub(hub_id: str, revision: str | None, in_vllm: bool) -> Weights:
    """Download from the hub. First queries it once, with a timeout, because downloads retry for half a minute."""
    if hub_id.lower().endswith("/glm-4v-9b"):
        raise _wrong_family(hub_id, "chatglm", True)
    try:
        commit = huggingface_hub.HfApi().model_info(hub_id, revision=revision, timeout=HUB_TIMEOUT_S).sha
    except RevisionNotFoundError as error:
        raise UserError(f"{hub_id} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"there is no folder {hub_id}, nor a public model on the hub (others need a login)") from error
    except Exception as error:  # no network, offline mode, a proxy: every client library raises its own errors
        return _cached(hub_id, revision, error)
    try:
        config = huggingface_hub.hf_hub_download(hub_id, "config.json", revision=commit)
        _check_family(hub_id, Path(config), in_vllm)  # before gigabytes are downloaded
        folder = huggingface_hub.snapshot_download(
            hub_id, revision=commit, allow_patterns=list(READ_FILES), ignore_patterns=["*/*"]
        )
    except GatedRepoError as error:
        raise UserError(f"{hub_id} asks for its terms to be accepted on the hub and for a login") from error
    except OSError as error:
        raise UserError(f"cannot download {hub_id}: {_one_line(error)}") from error
    return Weights(hub_id, Path(folder), Path(folder).name)


def _cached(hub_id: str, revision: str | None, reason: Exception) -> Weights:
    """A hub model from the local cache, if the hub cannot be reached."""
    try:
        folder = Path(huggingface_hub.snapshot_download(hub_id, revision=revision, local_files_only=True))
    except OSError:
        raise UserError(
            f"cannot reach the hub for {hub_id} ({_one_line(reason)}) and it is not in the local cache: "
            "connect, give a folder, or use --model tiny"
        ) from reason
    return Weights(hub_id, folder, folder.name)


def _check_family(name: str, config_file: Path, in_vllm: bool) -> None:
    """Refuse unknown families by config.json alone, before any class is looked up or code of the checkpoint matters."""
    if not config_file.is_file():
        raise UserError(f"{name} is not a model: it has no config.json")
    try:
        config = json.loads(config_file.read_text())
        model_type, architectures = config.get("model_type"), config.get("architectures")
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{config_file} is not a model's config: {_one_line(error)}") from error
    family = find_family(model_type)
    if family is None:
        raise _wrong_family(name, model_type, "auto_map" in config)
    if architectures != [family.architecture]:
        raise UserError(f"{name} holds {architectures}, not a {family.architecture} that can answer; {known()}")
    if in_vllm:
        check_engine(family)


def _wrong_family(name: str, model_type: object, remote_code: bool) -> UserError:
    what = f"{name} is of type {model_type!r}, no family that freqq reads"
    return UserError(f"{what}{', and needs remote code, which is never run' if remote_code else ''}; {known()}")


def _one_line(error: BaseException) -> str:
    """The first line of an error's message, shortened."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
