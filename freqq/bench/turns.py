"""Load an engine with one method after another in turns, and measure each turn."""

import math
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t as student

from freqq.bench.metrics import FIRST_TOKEN, KV_USAGE, NEXT_TOKEN, PREEMPTIONS, PROMPT, Metrics
from freqq.data.mini import WORDS
from freqq.errors import UserError
from freqq.pages.page import Page
from freqq.pages.render import render
from freqq.pages.style import Style
from freqq.serve.chat import UNCOMPRESSED, chat_request
from freqq.serve.client import Client
from freqq.serve.endpoint import MOST_AT_ONCE, Endpoint
from freqq.tokens.base import TokenCompressor

BASELINE = "baseline"
POLL_S = 0.1
QUESTION = "What do these pages say?"


@dataclass(frozen=True)
class Load:
    """The load of each turn.

    Parameters
    ----------
    requests : int
        Requests in a turn, each with its own pages, so that the engine's caches do not help.
    pages : int
        Full pages in a request.
    new_tokens : int
        Exact length of each answer.
    concurrency : int
        The most concurrent requests; with a rate all of them, so that none waits for another.
    rate : float or None
        Requests a second, at exponential intervals; None: one starts when another ends.

    Raises
    ------
    UserError
        If the rate is not above 0, or there are too many requests for one.
    """

    requests: int = 16
    pages: int = 4
    new_tokens: int = 8
    concurrency: int = 8
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not self.rate > 0:  # also refuses NaN
            raise UserError(f"--request-rate {self.rate:g}: give requests a second, above 0")
        if self.rate is not None and self.requests > MOST_AT_ONCE:
            raise UserError(f"--requests {self.requests}: with --request-rate give at most {MOST_AT_ONCE}")
        if self.rate is not None:
            object.__setattr__(self, "concurrency", self.requests)


@dataclass(frozen=True)
class Turn:
    """One turn of one method. Times in seconds; token times are measured by the engine."""

    method: str
    level: str
    repeat: int
    requests: int
    wall_s: float
    answers_per_s: float
    prompt_tokens: float
    first_token_p50_s: float
    first_token_p99_s: float
    first_token_mean_s: float
    next_token_mean_s: float
    kv_usage_most: float
    preemptions: float


Arm = tuple[str, str, TokenCompressor | None]
"""Name, level and method."""


def turns(
    client: Client,
    model: str,
    arms: Sequence[Arm],
    load: Load,
    repeats: int,
    seed: int = 0,
) -> Iterator[Turn]:
    """Every method in each repeat, in a rotated order so that drift affects all methods equally."""
    pages = page_source(seed)
    for repeat in range(-1, repeats):  # the first is a warm-up and not counted
        shift = repeat % len(arms)
        for arm in [*arms[shift:], *arms[:shift]]:
            turn = _turn(client, model, arm, load, repeat, pages)
            if repeat >= 0:
                yield turn


def page_source(seed: int) -> Iterator[Page]:
    """Full pages of Glyph's size with random words, all different."""
    chance, style = random.Random(seed), Style()
    while True:
        words = " ".join(chance.choices(WORDS, k=3000))
        yield next(iter(render([words], style)))


def _turn(client: Client, model: str, arm: Arm, load: Load, repeat: int, pages: Iterator[Page]) -> Turn:
    name, level, method = arm
    requests = [
        chat_request(
            model, QUESTION, [next(pages) for _ in range(load.pages)], load.new_tokens, method=method or UNCOMPRESSED
        )
        | {"ignore_eos": True}
        for _ in range(load.requests)
    ]
    before, chance = Metrics.read(client.endpoint), random.Random(repeat)
    with _Usage(client.endpoint) as usage, ThreadPoolExecutor(load.concurrency) as pool:
        start = time.perf_counter()
        waiting = []
        for request in requests:
            waiting.append(pool.submit(client.complete, request))
            if load.rate is not None:
                time.sleep(chance.expovariate(load.rate))
        for future in waiting:
            future.result()
        wall = time.perf_counter() - start
    spent = Metrics.read(client.endpoint).since(before)
    return Turn(
        name, level, repeat, load.requests, wall, load.requests / wall, spent.mean(PROMPT),
        spent.quantile(FIRST_TOKEN, 0.5), spent.quantile(FIRST_TOKEN, 0.99), spent.mean(FIRST_TOKEN),
        spent.mean(NEXT_TOKEN), usage.most, spent.values.get(PREEMPTIONS, math.nan),
    )  # fmt: skip


class _Usage:
    """Peak usage of the key-value cache within a block, sampled ten times a second; NaN if it was never told."""

    def __init__(self, server: Endpoint) -> None:
        self.most = math.nan
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Usage":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            with suppress(OSError):  # a busy server may miss one of many looks
                self.most = float(np.fmax(Metrics.read(self._server).values.get(KV_USAGE, math.nan), self.most))
            if self._ended.wait(POLL_S):
                return


@dataclass(frozen=True)
class Saving:
    """A method against the baseline: means over repeats, and ratios with their 95 % intervals."""

    method: str
    level: str
    prompt_tokens: float
    answers_per_s: float
    first_token_p50_s: float
    first_token_p99_s: float
    next_token_mean_s: float
    kv_usage_most: float
    throughput: tuple[float, float, float]
    first_token: tuple[float, float, float]


def savings(found: Sequence[Turn]) -> list[Saving]:
    """The savings of each method against the baseline of the same repeat; a bench that was cut short may lack some."""
    plain = {turn.repeat: turn for turn in found if turn.method == BASELINE}
    by_arm: dict[tuple[str, str], list[Turn]] = {}
    for turn in found:
        if turn.repeat in plain:
            by_arm.setdefault((turn.method, turn.level), []).append(turn)
    return [
        Saving(
            method, level,
            **{name: _mean([asdict(turn)[name] for turn in own]) for name in (
                "prompt_tokens", "answers_per_s", "first_token_p50_s", "first_token_p99_s", "next_token_mean_s",
                "kv_usage_most",
            )},
            throughput=ratio([(t.answers_per_s, plain[t.repeat].answers_per_s) for t in own]),
            first_token=ratio([(t.first_token_mean_s, plain[t.repeat].first_token_mean_s) for t in own]),
        )
        for (method, level), own in by_arm.items()
    ]  # fmt: skip


def ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """The geometric mean of ratios and its 95 % interval by Student's t on their logarithms."""
    logs = [math.log(a / b) for a, b in pairs]
    mean = _mean(logs)
    if len(logs) < 2:
        return math.exp(mean), math.nan, math.nan
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / (len(logs) - 1) / len(logs))
    half = float(student.ppf(0.975, len(logs) - 1)) * deviation
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
