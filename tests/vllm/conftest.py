"""One vLLM that all tests ask, and what the local backend answers to the same."""

import importlib.util
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from torch import Tensor

from freqq.data.mini import mini
from freqq.data.sample import Sample
from freqq.glm.load import find, load_reader
from freqq.glm.reader import Reader
from freqq.pages.page import Page
from freqq.runs.rendering import Rendering
from freqq.serve.client import Client
from freqq.serve.endpoint import Endpoint
from freqq.serve.engine import Engine, free_port, running
from freqq.tokens.base import TokenCompressor

HERE = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HERE, reason="vLLM is not installed here: make vllm-test installs it")

CHUNK, BLOCKS = 96, 44
"""Tokens of a step, so that pages are read in pieces, and blocks of 32 tokens, so few that requests are preempted."""

NEW_TOKENS = 64


@dataclass(frozen=True)
class Server:
    """The vLLM that is asked."""

    engine: Engine
    client: Client
    log: Path

    def metric(self, name: str) -> float:
        """The sum of a counter of the engine."""
        with urllib.request.urlopen(self.engine.url.removesuffix("/v1") + "/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    options = (
        "--enforce-eager", "--max-model-len", "1280", "--max-num-batched-tokens", str(CHUNK), "--max-num-seqs", "16",
        "--block-size", "32", "--num-gpu-blocks-override", str(BLOCKS), "--limit-mm-per-prompt", '{"image": 8}',
    )  # fmt: skip
    engine = Engine(find("tiny").folder, "tiny", "float32", port=free_port(), options=options)
    threads = {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    plugins = _faulty_plugin(tmp_path_factory.mktemp("plugin"))
    with running(engine, log, os.environ | threads | plugins):
        client = Client(Endpoint(engine.url, concurrency=16, retries=0))
        yield Server(engine, client, log)
        client.close()


def _faulty_plugin(folder: Path) -> dict[str, str]:
    """The environment in which `tests.vllm.faulty` is an installed package, beside the plug-in that is tested."""
    about = folder / "faulty-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[vllm.general_plugins]\nfaulty = tests.vllm.faulty:register\n"
        "[freqq.compressors]\ntoken-faulty = tests.vllm.faulty:Faulty\n"
    )
    paths = [str(folder), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.fixture(scope="session")
def reader() -> Reader:
    return load_reader("tiny")


PAGES: dict[str, tuple[Page, ...]] = {}


def pages_of(sample: Sample) -> tuple[Page, ...]:
    if sample.id not in PAGES:
        PAGES[sample.id] = tuple(Rendering.read(None).pages(sample))
    return PAGES[sample.id]


@cache
def samples(count: int, needles: int = 2) -> tuple[Sample, ...]:
    return tuple(mini(needles, count))


class Local:
    """The local backend's answers; a page is seen once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._seen: dict[str, Tensor] = {}

    def grids(self, pages, method: TokenCompressor | None):
        for page in pages:
            if page.sha256 not in self._seen:
                self._seen[page.sha256] = self._reader.see([page])[0]
        seen = [self._seen[page.sha256] for page in pages]
        return seen if method is None else [method.compress(grid) for grid in seen]

    def answers(self, questions, pages, method: TokenCompressor | None):
        found = []
        for start in range(0, len(questions), 16):
            own = slice(start, start + 16)
            grids = [self.grids(p, method) for p in pages[own]]
            found += self._reader.answer_many(questions[own], grids, NEW_TOKENS)
        return found


@pytest.fixture(scope="session")
def local(reader: Reader) -> Local:
    return Local(reader)
