"""A server whose device breaks says so, refuses no request for it, and ends."""

import signal
import threading
import time

import pytest

from freqq.errors import BrokenDevice, Interrupted
from freqq.serve.app import application, listen, serve
from freqq.serve.chat import chat_request
from freqq.serve.client import Client
from freqq.serve.endpoint import Endpoint
from tests.cli.test_serve import is_open
from tests.runs.faulty_device import BREAKING, PLACES, FaultyDevice
from tests.serve.faulty import Server
from tests.serve.test_client import PAGES, Pauses


@pytest.mark.parametrize("place", PLACES)
def test_no_request_is_to_blame(served_reader, place):
    """The first of two questions meets the fault; the device works again then, and the server trusts it no more."""
    server = Server(served_reader)
    client = Client(Endpoint(server.url, retries=1), Pauses())
    device = FaultyDevice({(place, 1): BREAKING["ecc"]})
    try:
        with device.under(served_reader.model):
            for _ in range(2):
                with pytest.raises(Interrupted, match=r"does not answer any more .status 503: .*ECC error"):
                    client.complete(chat_request(served_reader.model_name, "What?", PAGES, 5))
        assert device.calls[place] == 1
    finally:
        server.stop()


@pytest.fixture
def signals():
    """Those that a server minds are as they were before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_server_ends_with_the_devices_error(served_reader, signals):
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    client = Client(Endpoint(f"http://127.0.0.1:{port}/v1", retries=0), Pauses())
    found = []

    def ask():
        while not is_open(port):
            time.sleep(0.01)
        try:
            found.append(client.complete(chat_request(served_reader.model_name, "What?", PAGES, 5)))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    device = FaultyDevice({("decode", 2): BREAKING["lost"]})
    with device.under(served_reader.model):
        thread.start()
        with pytest.raises(BrokenDevice, match="the device is lost"):
            serve(application(served_reader, 8 << 20, 4), sock)
        thread.join()
    [error] = found
    assert isinstance(error, Interrupted)
    assert "the device is lost" in str(error)
