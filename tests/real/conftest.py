"""One real vLLM for all tests here; its log is shown with each failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import replace

import httpx
import pytest

from app.clients.slm.sampling import DEFAULT_SAMPLING
from app.clients.slm.vllm import VLLMClient
from tests.real.vllm_server import VLLMServer

# A model of 135M parameters rambles: the likeliest words, and not too many of them.
SHORT = {
    task: replace(drawn, temperature=0.0, max_tokens=min(drawn.max_tokens, 300))
    for task, drawn in DEFAULT_SAMPLING.items()
}


class CountingTransport(httpx.AsyncHTTPTransport):
    """The real transport, which counts what it sends by path."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent[request.url.path] += 1
        return await super().handle_async_request(request)


@pytest.fixture(scope="session")
def vllm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    server = VLLMServer(tmp_path_factory.mktemp("vllm") / "server.log")
    try:
        yield server
    finally:
        server.resume()
        server.stop()


@pytest.fixture
def vllm_server(vllm_process: VLLMServer) -> VLLMServer:
    """Running, whatever the test before did to it."""
    vllm_process.resume()
    vllm_process.start()
    return vllm_process


@pytest.fixture
async def client(vllm_server: VLLMServer) -> AsyncIterator[VLLMClient]:
    opened = VLLMClient(vllm_server.base_url, vllm_server.model, timeout=120.0, sampling=SHORT)
    try:
        yield opened
    finally:
        await opened.aclose()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    server = getattr(item, "funcargs", {}).get("vllm_process")
    if report.failed and server is not None and server.log.exists():
        report.sections.append(("vLLM log", server.log_tail()))
    return report
