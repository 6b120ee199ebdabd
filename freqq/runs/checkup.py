"""What this machine has of what freqq needs or can use. Nothing is downloaded, and no model is loaded.

Libraries are imported only once they were found: this is for when something is wrong with them.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

import freqq
from freqq.errors import UserError

OK, MISSING, BROKEN = "ok", "missing", "broken"

O200K_FILE = "fb374d419588a4632f3f557e76b4b70aebbca790"
"""What tiktoken calls its file of o200k's tokens in its cache: the SHA-1 of where it is from."""

SLURM = ("sbatch", "squeue", "sacct", "sinfo")
SLURM_WAIT_S = 10
"""After so long a cluster's controller counts as not reachable. Slurm's own programs try for a minute or more."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    topic, name : what it is
    state : ``ok``; ``missing`` if freqq does without it; ``broken`` if it does not
    found : what is there, or what is the matter
    remedy : what to do about it; empty if nothing needs to be done
    """

    topic: str
    name: str
    state: str
    found: str
    remedy: str = ""


def checkup() -> list[Finding]:
    """Everything that is looked at, in the order in which it is shown. If a library is broken, only the libraries."""
    found = list(_versions())
    if all(finding.state != BROKEN for finding in found):
        found += _imports()
    if all(finding.state != BROKEN for finding in found):
        found += [*_machine(), *_parts(), *_models(), *_optional()]
    return found


def check_packages(names: Collection[str] = ("torch", "transformers")) -> None:
    """Refuse libraries that are older than freqq needs; importing what uses them would fail less clearly.

    Raises
    ------
    UserError
        For the first of them.
    """
    try:
        wanted = [Requirement(text) for text in requires("freqq") or ()]
    except PackageNotFoundError:
        return  # a checkout that is not installed does not say what it needs
    for requirement in wanted:
        found = _package(requirement) if requirement.name in names and requirement.marker is None else None
        if found is not None and found.state == BROKEN:
            raise UserError(f"{found.name} is {found.found}: {found.remedy}")


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "freqq", OK, f"{freqq.__version__} in {Path(freqq.__file__).parent}")
    yield Finding("versions", "python", OK, f"{platform.python_version()} at {sys.executable}")
    try:
        wanted = [Requirement(text) for text in requires("freqq") or ()]
    except PackageNotFoundError:
        yield Finding("versions", "packages", BROKEN, "freqq is not installed", "pip install . in its folder")
        return
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(wanted: Requirement) -> Finding:
    remedy = f"pip install '{wanted}'"
    try:
        there = version(wanted.name)
    except PackageNotFoundError:
        return Finding("versions", wanted.name, BROKEN, "not installed", remedy)
    if not wanted.specifier.contains(there, prereleases=True):
        return Finding("versions", wanted.name, BROKEN, f"{there}, but {wanted.specifier} is needed", remedy)
    return Finding("versions", wanted.name, OK, there)


def _imports() -> Iterator[Finding]:
    """Those libraries that are installed, but cannot be imported; a driver or a system library may be what lacks."""
    for name in ("numpy", "pyarrow", "torch", "transformers"):
        try:
            import_module(name)
        except Exception as error:  # whatever a broken installation raises
            said = " ".join(str(error).split())
            yield Finding(
                "versions", name, BROKEN, f"cannot be imported: {said}", f"pip install --force-reinstall {name}"
            )


def _machine() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("machine", "system", OK, f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield Finding("machine", "processor", OK, f"{cores} cores, {torch.get_num_threads()} threads of torch")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield Finding("machine", "memory", OK, f"{_gigabytes(total)}, {_gigabytes(free)} of it unused")
    disk = shutil.disk_usage(Path.cwd())
    yield Finding("machine", "disk", OK, f"{_gigabytes(disk.free)} free of {_gigabytes(disk.total)} in {Path.cwd()}")
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Finding("machine", "GPU", MISSING, f"none that torch ({built}) sees; models run on the processor")
    for i in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(i)
        yield Finding("machine", f"GPU {i}", OK, f"{found.name}, {_gigabytes(found.total_memory)}")


def _parts() -> Iterator[Finding]:
    """What comes with freqq and its libraries."""
    from freqq.coding.codebook_files import ELSEWHERE
    from freqq.glm.adapter_card import shipped_adapters
    from freqq.glm.families import EMBEDDED
    from freqq.image.codebooks import codebooks
    from freqq.pages.style import font_file
    from freqq.tokens.codebooks import token_codebooks

    reinstall = "reinstall freqq: a part of the package is missing"
    yield _part("font", lambda: font_file("DejaVuSans"), "pip install --force-reinstall matplotlib")
    for name in EMBEDDED:
        yield _part(f"embedded model {name}", partial(_embedded, name), reinstall)
    yield _part("codebooks of pages", lambda: _listed([book.id.hex() for book in codebooks()]), reinstall)
    yield _part("codebooks of tokens", lambda: _listed([book.id.hex() for book in token_codebooks()]), reinstall)
    yield _part("adapters", lambda: _listed(shipped_adapters()), reinstall)
    folder = os.environ.get(ELSEWHERE)
    if folder and not os.path.isdir(folder):
        remedy = f"correct {ELSEWHERE}, or unset it"
        yield Finding("parts", "further codebooks", BROKEN, f"{ELSEWHERE} names no folder: {folder}", remedy)


def _part(name: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding("parts", name, OK, look())
    except UserError as error:
        return Finding("parts", name, BROKEN, str(error), remedy)


def _embedded(name: str) -> str:
    file = Path(freqq.__file__).parent / "glm" / name / "model.safetensors"
    if not file.is_file():
        raise UserError(f"there is no {file}")
    return f"{file.parent}, {file.stat().st_size / 1e6:.1f} MB"


def _models() -> Iterator[Finding]:
    """The families of models: what to call them, and what works with them."""
    import transformers

    from freqq.glm.families import GUIDE, families

    for model_type, family in families().items():
        works = ["all methods"]
        works += ["adapters"] if family.adapters else []
        works += ["token methods within vLLM, too"] if family.engine else []
        names = ", ".join(family.short_names) or f"checkpoints of type {model_type}"
        lacking = [name for name in (family.architecture, family.image_processor) if not hasattr(transformers, name)]
        if lacking:
            said = f"{names}: transformers has no {lacking[0]}"
            yield Finding("models", family.name, MISSING, said, "pip install --upgrade transformers")
        else:
            yield Finding("models", family.name, OK, f"{names}: {', '.join(works)}")
    yield Finding("models", "other models", OK, f"{GUIDE} shows how to add a family")


def _listed(names: list[str]) -> str:
    if not names:
        raise UserError("none found")
    return ", ".join(names)


def _optional() -> Iterator[Finding]:
    from freqq.image.jxl_file import is_installed
    from freqq.image.legibility import check_tesseract

    try:
        yield Finding("optional", "tesseract", OK, check_tesseract())
    except UserError:
        remedy = "apt install tesseract-ocr tesseract-ocr-eng, for compress-image --ocr"
        yield Finding("optional", "tesseract", MISSING, "not installed, or without English", remedy)
    jxl = ("installed", OK, "") if is_installed() else ("not installed", MISSING, "pip install 'freqq[jxl]'")
    yield Finding("optional", "JPEG XL", jxl[1], jxl[0], jxl[2])
    yield _slurm()
    yield _o200k()
    yield _verdana()
    hub = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    models = sorted(path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*"))
    state = OK if models else MISSING
    remedy = "" if models else "freqq downloads what --model and --data name"
    yield Finding("optional", "downloaded models", state, ", ".join(models) or f"none in {hub}", remedy)


def _slurm() -> Finding:
    """Slurm, if its controller answers: installed programs alone can submit nothing."""
    if lacking := [program for program in SLURM if shutil.which(program) is None]:
        remedy = "slurm-submit and slurm-status need it; run them on a node of a cluster"
        return Finding("optional", "Slurm", MISSING, f"no {', '.join(lacking)}", remedy)
    command = ["sinfo", "--noheader", "--format=%P"]
    remedy = "slurm-submit needs a controller that answers: see what 'scontrol ping' says, or use a login node"
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SLURM_WAIT_S)
    except subprocess.TimeoutExpired:
        found = f"{shutil.which('sbatch')}, but no controller answers within {SLURM_WAIT_S} s"
        return Finding("optional", "Slurm", MISSING, found, remedy)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"sinfo ends with {done.returncode}"])[-1]
        return Finding("optional", "Slurm", MISSING, f"{shutil.which('sbatch')}, but {reason}", remedy)
    partitions = ", ".join(dict.fromkeys(done.stdout.split())) or "none"
    return Finding("optional", "Slurm", OK, f"{shutil.which('sbatch')}; partitions (*: default): {partitions}")


def _o200k() -> Finding:
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.path.join(tempfile.gettempdir(), "data-gym-cache")
    if os.path.isfile(os.path.join(folder, O200K_FILE)):
        return Finding("optional", "o200k tokens", OK, f"in {folder}")
    remedy = "downloaded when lengths are counted; without a network, set TIKTOKEN_CACHE_DIR to a folder that has it"
    return Finding("optional", "o200k tokens", MISSING, f"not in {folder}: lengths are estimated without it", remedy)


def _verdana() -> Finding:
    from matplotlib.font_manager import findSystemFonts

    found = [path for path in findSystemFonts() if Path(path).name.lower() == "verdana.ttf"]
    if found:
        return Finding("optional", "Verdana", OK, f"{found[0]}: give it as --font, for Glyph's own look")
    remedy = "DejaVu Sans stands in for it, with its proportions"
    return Finding("optional", "Verdana", MISSING, "Glyph's own font is not installed", remedy)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
