"""The programs that tests start: which of them are missing, and the Debian packages that bring them.

``python tests/programs.py GROUP...`` installs what is missing, as root or with sudo; `require` skips a test without its
programs, or fails it in CI, where everything has to be there. The standard library is all that this file may import at
the top: it runs before anything is installed.
"""

import os
import shutil
import subprocess
import sys

PACKAGES = {
    "slurm": {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"},
    "browser": {"chromium|chromium-browser|google-chrome": "chromium"},
    "curl": {"curl": "curl"},
    "shells": {"bash": "bash", "zsh": "zsh", "fish": "fish"},
    "pdf": {"pdftoppm": "poppler-utils"},
    "ocr": {"tesseract": "tesseract-ocr", "tesseract's English": "tesseract-ocr-eng"},
    "fonts": {"wqy-microhei.ttc": "fonts-wqy-microhei", "wqy-zenhei.ttc": "fonts-wqy-zenhei"},
}
"""Of each group (a target of the Makefile): a program, several any of which will do, or a font; its Debian package."""

FONTS = "/usr/share/fonts/truetype/wqy"

DAEMONS = "/usr/sbin:/sbin"
"""Where Debian keeps what the PATH of ordinary users does not lead to."""


def find(program: str) -> str | None:
    """The path of a program; of several with bars between them, that of the first that is there."""
    if program == "tesseract's English":
        tesseract = find("tesseract")
        languages = _output(tesseract, "--list-langs").split() if tesseract else []
        return tesseract if "eng" in languages else None
    if program.endswith(".ttc"):
        font = f"{FONTS}/{program}"
        return font if os.path.isfile(font) else None
    path = f"{os.environ.get('PATH', os.defpath)}:{DAEMONS}"
    return next((found for name in program.split("|") if (found := shutil.which(name, path=path))), None)


def missing(group: str) -> dict[str, str]:
    """The programs of a group that are not here, and their packages."""
    return {program: package for program, package in PACKAGES[group].items() if find(program) is None}


def require(group: str, *of_them: str) -> None:
    """Skip the test that calls this if a program of a group, or one of some of its programs, is missing; in CI fail it.

    CI is where the variable CI is set.
    """
    import pytest

    if absent := [program for program in missing(group) if program in (of_them or PACKAGES[group])]:
        reason = f"{', '.join(absent)}: not installed, see 'make {group}'"
        if os.environ.get("CI"):
            pytest.fail(f"{reason} (nothing is skipped in CI)")
        pytest.skip(reason)


def install(groups: list[str]) -> str | None:
    """Install what is missing of these groups, all at once. What keeps it from being there, if anything."""
    absent = {program: package for group in groups for program, package in missing(group).items()}
    if not absent:
        return None
    packages = " ".join(absent.values())
    advice = f"install the Debian packages {packages}, or what your system calls them"
    rights = [] if os.geteuid() == 0 else ["sudo"]
    if find("apt-get") is None:
        return f"{', '.join(absent)}: not installed, and there is no apt-get here; {advice}"
    if rights and find("sudo") is None:
        return f"{', '.join(absent)}: not installed, and there is no sudo here; as root, {advice}"
    apt = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    # Where one of several sources does not answer, the lists of the others will do: the installation decides.
    subprocess.run([*apt, "update"])
    command = [*apt, "install", "-y", "--no-install-recommends", *absent.values()]
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if code:
        return f"apt-get could not install {packages} (exit code {code}); {advice}"
    still = [program for program in absent if find(program) is None]
    return f"{', '.join(still)}: not there although apt-get installed {packages}" if still else None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


if __name__ == "__main__":
    if not sys.argv[1:] or not set(sys.argv[1:]) <= set(PACKAGES):
        sys.exit(f"usage: python tests/programs.py GROUP..., of {', '.join(PACKAGES)}")
    if error := install(sys.argv[1:]):
        sys.exit(f"error: {error}")
