"""HYPOTHESES_FROM=model: nothing of the playbook stands beside what the model asks."""

from __future__ import annotations

from pathlib import Path

from tests.api.conftest import running
from tests.api.test_backends import hypothesize, wired
from tests.fake_vllm import FakeVLLM
from tests.servers import serving


async def test_only_the_model_is_heard(tmp_path: Path) -> None:
    async with serving(FakeVLLM()) as url:
        async with running(wired(tmp_path / "a", url, "vllm", hypotheses_from="model")) as client:
            alone = await hypothesize(client)
        async with running(wired(tmp_path / "b", url, "vllm")) as client:
            merged = await hypothesize(client)
    assert {one["producer"] for one in alone["hypotheses"]} == {"vllm"}
    assert not alone["backend"]["degraded"]
    assert {one["producer"] for one in merged["hypotheses"]} == {"vllm", "local"}


async def test_local_still_answers_for_a_model_that_fails(tmp_path: Path) -> None:
    fake = FakeVLLM()
    async with (
        serving(fake) as url,
        running(wired(tmp_path, url, "vllm", hypotheses_from="model")) as client,
    ):
        fake.fail("status")
        answer = await hypothesize(client)
    assert answer["backend"]["degraded"]
    assert [one["producer"] for one in answer["hypotheses"]] == ["local"] * 3
