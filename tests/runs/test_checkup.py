"""What ``freqq doctor`` looks at."""

from packaging.requirements import Requirement

from freqq.runs import checkup as under_test
from freqq.runs.checkup import BROKEN, MISSING, OK, checkup


def test_nothing_that_is_needed_is_missing_here():
    found = checkup()
    assert [finding for finding in found if finding.state == BROKEN] == []
    assert {finding.topic for finding in found} == {"versions", "machine", "parts", "models", "optional"}
    names = {finding.name for finding in found}
    assert {
        "freqq",
        "python",
        "torch",
        "memory",
        "font",
        "embedded model tiny",
        "embedded model small",
        "codebooks of pages",
        "Slurm",
    } <= names
    assert all(finding.found for finding in found)


def test_what_is_missing_says_how_to_get_it():
    assert all(finding.remedy for finding in checkup() if finding.state != OK and finding.name != "GPU")


def test_a_package_that_is_too_old_or_not_there_is_broken():
    old, absent = under_test._package(Requirement("numpy>=999")), under_test._package(Requirement("no-such-package"))
    assert (old.state, absent.state) == (BROKEN, BROKEN)
    assert ">=999 is needed" in old.found
    assert old.remedy == "pip install 'numpy>=999'"
    assert under_test._package(Requirement("numpy>=1")).state == OK


def test_optional_programs_are_looked_for_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    states = {finding.name: finding.state for finding in checkup()}
    assert (states["tesseract"], states["Slurm"]) == (MISSING, MISSING)


def test_a_folder_of_codebooks_that_is_not_there_is_broken(monkeypatch, tmp_path):
    monkeypatch.setenv("FREQQ_CODEBOOKS", str(tmp_path / "none"))
    broken = [finding for finding in checkup() if finding.state == BROKEN]
    assert [finding.name for finding in broken] == ["further codebooks"]


def test_the_file_of_o200k_is_found_in_its_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert under_test._o200k().state == MISSING
    (tmp_path / under_test.O200K_FILE).touch()
    assert under_test._o200k().state == OK
