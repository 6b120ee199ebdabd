"""How all tests run; and a model for tests of what is above the model: small, random, and loaded like any other."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

import freqq
from tests import programs
from tests.glm.conftest import save_model

if TYPE_CHECKING:
    from freqq.glm.reader import Reader
    from tests.serve.faulty import Server

FULL = os.environ.get("FREQQ_FUZZ") == "full"
"""Whether to try many times as many made inputs (`make test-full`)."""

# Nothing that depends on how busy a machine is may fail a test. In CI every run tries the same examples.
settings.register_profile(
    "freqq",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    max_examples=2000 if FULL else 100,
)
settings.load_profile("freqq")

TINY = Path(freqq.__file__).parent / "glm" / "tiny" / "model.safetensors"
needs_tiny = pytest.mark.skipif(not TINY.is_file(), reason="the embedded model is not in this checkout")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail tests of which programs are missing, before any fixture of theirs is made."""
    for mark in item.iter_markers("needs"):
        programs.require(*mark.args)


LONG = (
    "tests/slurm/",
    "tests/runs/test_supervisor.py",
    "tests/adapt/test_training.py",
    "tests/cli/test_study.py",
    "tests/test_docs.py",
    "tests/glm/test_long_prompts.py",
    "tests/runs/test_stop.py",
    "tests/runs/test_start_cache.py",
    "tests/glm/test_tiny.py",
    "tests/glm/test_small.py",
    "tests/bench/bench_runs.py",
    "tests/cli/test_examples.py",
)
"""Where tests take longest: what begins last should be short, or a process waits for the other at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, then those of most tests."""
    tests = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[int, int]:
        long = next((i for i, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG))
        return long, -tests[item.path] if long == len(LONG) else 0

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Deal out the tests to processes by file, so that a fixture of a file is made once, whatever ``--dist`` says."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/slurm/"):
                return "tests/slurm"  # a cluster is started for all of them
            if nodeid.startswith("tests/cli/test_examples.py"):
                return nodeid  # they have nothing in common, and some take long
            return super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds codebooks that were learned before, or leaves some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREQQ_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random GLM-4V model. Its answers are noise, but always the same noise."""
    return str(save_model("glm4v", tmp_path_factory.mktemp("random_model")))


@pytest.fixture(scope="session")
def served_reader(random_model: str) -> "Reader":
    """The reader behind `server`."""
    from freqq.glm.load import load_reader

    return load_reader(random_model, device="cpu")


@pytest.fixture
def server(served_reader: "Reader") -> "Iterator[Server]":
    """A real HTTP server with the random model, to which things can be made to happen."""
    from tests.serve.faulty import Server

    server = Server(served_reader)
    yield server
    server.stop()
