"""Batch the questions that arrive while others are being answered."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.errors import BrokenDevice
from freqq.glm.device_errors import classified
from freqq.glm.reader import Answer, Reader
from freqq.pages.page import Page
from freqq.serve.question import BadRequest, Question


class Gone(Exception):
    """The client is gone."""


@dataclass(frozen=True)
class _Waiting:
    question: Question
    is_gone: Callable[[], Awaitable[bool]]
    future: "asyncio.Future[Answer]"


class Batcher:
    """Owns a reader and the only thread that uses it.

    Parameters
    ----------
    reader : Reader
    most : int
        The most questions that are answered together. Answers equal those of single questions, up to rounding.
    """

    def __init__(self, reader: Reader, most: int) -> None:
        self._reader = reader
        self._longest_token = max(map(len, reader.tokenizer.get_vocab()))
        self._most = most
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "reader")
        self._closed = threading.Event()

    async def answer(self, question: Question, is_gone: Callable[[], Awaitable[bool]]) -> Answer:
        """Wait for the answer.

        Raises
        ------
        Gone
            If the client is gone before the question is started.
        BadRequest, FreqqError
            If it is too long; and errors of `Reader.see` and `Reader.answer_many`.
        """
        item = _Waiting(question, is_gone, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._arrived.set()
        return await item.future

    async def work(self) -> None:
        """Answer waiting questions until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := await self._take():
                questions = [item.question for item in batch]
                answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._answers, questions)
                for item, answer in zip(batch, answers, strict=True):
                    if item.future.done():  # cancelled with its request
                        continue
                    if isinstance(answer, Exception):
                        item.future.set_exception(answer)
                    else:
                        item.future.set_result(answer)

    def close(self) -> None:
        """End the thread; answers that it is at, which nobody waits for any more, are broken off."""
        self._closed.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _take(self) -> list[_Waiting]:
        """The first waiting question and those with the same settings; the others keep their order."""
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        while self._waiting and len(batch) < self._most:
            item = self._waiting.popleft()
            if item.future.done():
                continue
            if await item.is_gone():
                item.future.set_exception(Gone())
            elif not batch or _alike(item.question, batch[0].question):
                batch.append(item)
            else:
                others.append(item)
        self._waiting.extendleft(reversed(others))
        return batch

    def _answers(self, questions: Sequence[Question]) -> Sequence[Answer | Exception]:
        """Answers or errors. If a batch fails, each question is tried alone, unless the device is broken."""
        before, self._reader.stop_requested = self._reader.stop_requested, self._closed.is_set
        try:
            return self._answer_many(questions)
        except Exception as error:
            failed = classified(error).with_traceback(None)
            if len(questions) == 1 or isinstance(failed, BrokenDevice):
                return [failed] * len(questions)
        finally:
            self._reader.stop_requested = before
        with suppress(RuntimeError):  # of a broken device, which the next question meets, too
            torch.cuda.empty_cache()  # it may have run out of memory
        return [self._answers([question])[0] for question in questions]

    def _answer_many(self, questions: Sequence[Question]) -> list[Answer]:
        for question in questions:
            self._check_length(question)
        seen = iter(self._reader.see([page for q in questions for page in q.pages if isinstance(page, Page)]))
        grids: list[list[Tensor]] = [
            [next(seen) if isinstance(page, Page) else page for page in question.pages] for question in questions
        ]
        first = questions[0]
        texts = [question.text for question in questions]
        return self._reader.answer_many(texts, grids, first.max_tokens, first.generation, fit=True)

    def _check_length(self, question: Question) -> None:
        """Refuse questions that are too long, before they are tokenized and the vision tower runs.

        An answer that is asked to be longer than what is left of the context ends there, as with vLLM.
        """
        tokens = sum(
            self._reader.token_count(page) if isinstance(page, Page) else page.shape[0] * page.shape[1]
            for page in question.pages
        )
        limit = self._reader.model.config.text_config.max_position_embeddings
        text = len(question.text) // self._longest_token
        if tokens + text >= limit:
            raise BadRequest(
                f"{tokens} tokens of pages and at least {text} of text do not fit into the model's {limit}",
                "messages",
                "context_length_exceeded",
            )


def _alike(a: Question, b: Question) -> bool:
    return (a.max_tokens, a.generation) == (b.max_tokens, b.generation)
