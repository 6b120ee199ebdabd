"""`make shells` and its like, on machines that lack programs: with an apt-get that only notes what it is asked for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs

ROOT = Path(__file__).parents[1]
PACKAGES = {program: package for group in programs.PACKAGES.values() for program, package in group.items()}
PROGRAM = "#!/bin/sh\necho eng\n"
"""One that is there; tesseract is asked for its languages."""
SUDO = '#!/bin/sh\necho sudo >> {log}\nexec "$@"\n'
APT = """#!/bin/sh
echo "apt-get $*" >> {log}
case " $* " in
*" update ") exit {update} ;;
*" install "*) [ {code} = 0 ] || exit {code} ;;
esac
for package; do cp {folder}/packages/$package/* {folder} 2> /dev/null; done
exit 0
"""


class Machine:
    """A folder that is all of PATH, and the packages that its apt-get may install there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        for name in ("env", "cp"):  # of every system
            (folder / name).symlink_to(str(shutil.which(name, path=os.defpath)))

    def put(self, name: str, text: str = PROGRAM, folder: str = ".") -> None:
        file = self.folder / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def put_all(self) -> None:
        for program in PACKAGES:
            self.put(program.split("|")[0])

    def put_apt(self, update: int = 0, code: int = 0, brings: bool = True) -> None:
        self.put("apt-get", APT.format(log=self.log, folder=self.folder, update=update, code=code))
        for program, package in PACKAGES.items() if brings else ():
            self.put(program.split("|")[0], folder=f"packages/{package}")

    @property
    def asked(self) -> list[str]:
        """What apt-get and sudo were called with."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def installed(self) -> list[str]:
        """The packages that apt-get was asked for."""
        return [word for line in self.asked for word in line.split() if word in PACKAGES.values()]


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """One that lacks everything, seen by root."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(programs, "DAEMONS", str(tmp_path))
    monkeypatch.setattr(programs, "FONTS", str(tmp_path / "bin"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return Machine(tmp_path / "bin")


def test_where_all_is_there_nothing_is_asked_for(machine):
    machine.put_all()
    machine.put_apt()
    assert programs.install(list(programs.PACKAGES)) is None
    assert machine.asked == []


@pytest.mark.parametrize("group", programs.PACKAGES)
def test_a_group_that_is_missing_is_installed(machine, group):
    machine.put_apt()
    assert programs.install([group]) is None
    assert machine.installed == list(programs.PACKAGES[group].values())
    assert [line.split()[-1] == "update" for line in machine.asked] == [True, False]
    assert not programs.missing(group)


def test_groups_are_installed_at_once_and_only_what_is_missing(machine):
    machine.put_all()
    machine.put_apt()
    for program in ("zsh", "slurmd", "chromium"):
        (machine.folder / program).unlink()
    machine.put("google-chrome")  # as good as Chromium
    assert programs.install(list(programs.PACKAGES)) is None
    assert machine.installed == ["slurmd", "zsh"]
    assert len(machine.asked) == 2


def test_a_tesseract_without_english_lacks_its_english(machine):
    machine.put("tesseract", "#!/bin/sh\necho deu\n")
    assert programs.missing("ocr") == {"tesseract's English": "tesseract-ocr-eng"}


def test_who_is_not_root_asks_sudo(machine, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.put("bash")
    machine.put_apt()
    assert "no sudo here; as root, install the Debian packages zsh fish" in programs.install(["shells"])
    assert machine.asked == []
    machine.put("sudo", SUDO.format(log=machine.log))
    assert programs.install(["shells"]) is None
    assert [line.split()[0] for line in machine.asked] == ["sudo", "apt-get"] * 2


@pytest.mark.parametrize(
    ("apt", "said"),
    [
        (None, "zsh, fish: not installed, and there is no apt-get here; install the Debian packages zsh fish"),
        ({"code": 100}, "apt-get could not install zsh fish (exit code 100); install the Debian packages zsh fish"),
        ({"brings": False}, "zsh, fish: not there although apt-get installed zsh fish"),
    ],
)
def test_what_cannot_be_installed_is_one_line(machine, apt, said):
    machine.put("bash")
    if apt is not None:
        machine.put_apt(**apt)
    error = programs.install(["shells"])
    assert error.startswith(said)
    assert "\n" not in error


def test_a_source_that_does_not_answer_is_no_end(machine):
    machine.put_apt(update=100)
    assert programs.install(["pdf"]) is None


def test_a_test_without_its_programs_skips_and_in_ci_fails(machine, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="bash, zsh, fish: not installed, see 'make shells'"):
        programs.require("shells")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="bash, zsh, fish: not installed, see 'make shells'"):
        programs.require("shells")
    machine.put("zsh")
    programs.require("shells", "zsh")
    machine.put_all()
    programs.require("shells")


@pytest.mark.parametrize("code", [0, 1])
def test_make_installs_and_fails_as_apt_does(machine, code):
    """The target itself, as a fresh machine runs it."""
    machine.put("sudo", SUDO.format(log=machine.log))  # whoever runs the tests
    machine.put_apt(code=code)
    make = [str(shutil.which("make", path=os.defpath)), "-C", str(ROOT), "shells", f"PYTHON={sys.executable}"]
    done = subprocess.run(make, capture_output=True, text=True, env=os.environ | {"MAKEFLAGS": ""})
    assert machine.installed == ["bash", "zsh", "fish"]
    if code == 0:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert done.stderr.startswith("error: apt-get could not install bash zsh fish (exit code 1); install the ")
