"""Who may name which adapter, and how one is registered."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Conflict, InvalidInput, StorageError, UnknownAdapter
from app.models import SERVED, AdapterState
from app.services.adapter_facts import ServerLimits
from app.services.adapter_files import AdapterFiles
from app.services.adapters import AdapterRegistry, Named
from tests.adapter_directories import write_adapter
from tests.fakes import MemoryStore
from tests.nouns import NOON, an_adapter

NAME = "hypotheses-000000000001"
STATES: list[AdapterState] = [
    "registered", "rejected", "gated", "loaded", "canary", "live", "retired", "rolled_back", "tainted"
]  # fmt: skip


def registry(place: Path, store: MemoryStore, *allowed: str, adapters: bool = True) -> AdapterRegistry:
    files = AdapterFiles(place / "shelf", [place / "runs"], ServerLimits("small"))
    return AdapterRegistry(store, files, frozenset(allowed), backend_has_adapters=adapters, now=lambda: NOON)


async def test_no_name_is_the_backends_own(tmp_path: Path) -> None:
    assert await registry(tmp_path, MemoryStore(), adapters=False).resolve(None) == Named(None)


async def test_a_name_needs_a_backend_with_adapters(tmp_path: Path) -> None:
    with pytest.raises(UnknownAdapter, match="SLM_IMPL"):
        await registry(tmp_path, MemoryStore(), "*", adapters=False).resolve("mine")


@pytest.mark.parametrize("allowed", ["mine", "*"])
async def test_what_is_allowed_must_be_there(tmp_path: Path, allowed: str) -> None:
    assert await registry(tmp_path, MemoryStore(), allowed).resolve("mine") == Named("mine", required=True)


async def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownAdapter, match="LORA_ALLOWED"):
        await registry(tmp_path, MemoryStore(), "mine").resolve("yours")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("allowed", ["none", "*", NAME])
async def test_a_registered_one_is_its_tenants_while_it_is_served(
    tmp_path: Path, state: AdapterState, allowed: str
) -> None:
    store = MemoryStore()
    await store.add_adapter(an_adapter(NAME, state=state))
    names = registry(tmp_path, store, allowed)
    if state in SERVED:
        assert await names.resolve(NAME, "default") == Named(NAME, required=False)
    else:
        with pytest.raises(UnknownAdapter):
            await names.resolve(NAME, "default")
    with pytest.raises(UnknownAdapter):
        await names.resolve(NAME, "other")


async def test_publishing_registers_what_was_trained(tmp_path: Path) -> None:
    store = MemoryStore()
    names = registry(tmp_path, store)
    source = write_adapter(tmp_path / "runs" / "one", base_model_name_or_path="x/small")
    adapter = await names.publish(source, tenant="us", lineage={"job": "j1"}, users=["ann"])
    assert (adapter.tenant, adapter.task, adapter.state) == ("us", "hypotheses", "registered")
    assert (adapter.base_model, adapter.rank, adapter.created_at) == ("x/small", 8, NOON)
    assert adapter.lineage == {"job": "j1"}
    assert adapter.name == f"hypotheses-{adapter.digest[:12]}"
    assert Path(adapter.path) == tmp_path / "shelf" / adapter.name
    assert await names.publish(source, tenant="us", users=["bob"]) == adapter
    assert [await store.adapters_trained_on("us", user) for user in ("ann", "bob")] == [[adapter], [adapter]]
    with pytest.raises(Conflict):
        await names.publish(source, tenant="them")


async def test_what_is_refused_is_not_registered(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(InvalidInput, match="DoRA"):
        await registry(tmp_path, store).publish(write_adapter(tmp_path / "runs" / "one", use_dora=True))
    assert await store.list_adapters(None) == []


async def test_a_shelf_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("in the way")
    with pytest.raises(StorageError, match="ADAPTERS_DIR"):
        await registry(tmp_path, MemoryStore()).publish(write_adapter(tmp_path / "runs" / "one"))
