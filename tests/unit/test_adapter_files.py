"""Adapters from a training run onto the shelf: what is refused, what is copied, what is never overwritten."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import Conflict, InvalidInput
from app.services.adapter_facts import AdapterFacts, ServerLimits, inspect
from app.services.adapter_files import AdapterFiles, digest_of
from tests.adapter_directories import LAYER, safetensors, write_adapter

LIMITS = ServerLimits("local-models/small", max_rank=16)


@pytest.fixture
def shelf(tmp_path: Path) -> AdapterFiles:
    return AdapterFiles(tmp_path / "shelf", [tmp_path / "runs", tmp_path / "shelf"], LIMITS)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_facts_are_read_without_torch(tmp_path: Path) -> None:
    facts = inspect(write_adapter(tmp_path / "a", rank_pattern={"k_proj": 16}), LIMITS)
    assert facts == AdapterFacts(
        rank=16, base_model="HuggingFaceTB/small", modules=("q_proj",), parameters=64
    )


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"r": 32}, "--max-lora-rank"),
        ({"rank_pattern": {"q_proj": 64}}, "its rank is 64"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "bias='none'"),
        ({"lora_bias": True}, "lora_bias=False"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_qalora": True}, "use_qalora"),
        ({"alora_invocation_tokens": [1]}, "alora"),
        ({"base_model_name_or_path": "other/large"}, "VLLM_MODEL_NAME"),
        ({"base_model_name_or_path": None}, "VLLM_MODEL_NAME"),
        ({"r": "8'; DROP"}, "positive whole numbers"),
        ({"r": -1}, "positive whole numbers"),
        ({"rank_pattern": ["q"]}, "positive whole numbers"),
        ({"tensors": {f"{LAYER}.lora_A.weight": [128, 4]}}, "its rank is 128"),
        ({"tensors": {f"{LAYER}.lora_magnitude_vector": [4]}}, "not LoRA's"),
        ({"tensors": {"base_model.model.lm_head.weight": [9, 4]}}, "not LoRA's"),
        ({"tensors": {"base_model.model.model.embed_tokens.base_layer.weight": [9, 4]}}, "no LoRA weights"),
    ],
)
def test_what_a_server_would_refuse_is_refused_first(
    tmp_path: Path, config: dict[str, Any], word: str
) -> None:
    if isinstance(config.get("r"), str | int) and "tensors" not in config and config["r"] in ("8'; DROP", -1):
        config["tensors"] = {f"{LAYER}.lora_A.weight": [8, 4]}
    with pytest.raises(InvalidInput, match=word):
        inspect(write_adapter(tmp_path / "a", **config), LIMITS)


def test_all_reasons_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        inspect(write_adapter(tmp_path / "a", r=64, use_dora=True, modules_to_save=["lm_head"]), LIMITS)
    assert all(word in str(caught.value) for word in ("rank is 64", "DoRA", "modules_to_save"))


@pytest.mark.parametrize(
    "base", ["small", "/models/small/", "unsloth/Small", "unsloth/small-bnb-4bit", "x/small-unsloth-bnb-4bit"]
)
def test_one_model_by_its_many_names(tmp_path: Path, base: str) -> None:
    assert inspect(write_adapter(tmp_path / "a", base_model_name_or_path=base), LIMITS).base_model == base


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _add(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")


def _long_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def _no_object(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2) + b"[]")


def _gap(path: Path) -> None:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}
    text = json.dumps({f"{LAYER}.lora_A.weight": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 8)


def _deep(path: Path) -> None:
    text = b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize(
    "breaking", [_cut, _add, _pickle, _long_header, _no_object, _gap, _deep, Path.unlink]
)
def test_broken_weights_are_refused(tmp_path: Path, breaking: Callable[[Path], Any]) -> None:
    directory = write_adapter(tmp_path / "a")
    breaking(directory / "adapter_model.safetensors")
    with pytest.raises(InvalidInput, match=r"adapter_model\.safetensors"):
        inspect(directory, LIMITS)


@pytest.mark.parametrize("text", ["", "[]", "{", "\udcff", "[" * 100_000, "{" + " " * (1 << 20) + "}"])
def test_a_broken_configuration_is_refused(tmp_path: Path, text: str) -> None:
    directory = write_adapter(tmp_path / "a")
    (directory / "adapter_config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput, match=r"adapter_config\.json"):
        inspect(directory, LIMITS)


def test_it_is_named_after_its_content(shelf: AdapterFiles, runs: Path) -> None:
    source = write_adapter(runs / "one")
    (source / "card.json").write_text("{}")
    published = shelf.publish(source, "hypotheses")
    assert published.name == f"hypotheses-{published.digest[:12]}"
    assert published.path == runs.parent / "shelf" / published.name
    assert published.digest == digest_of(source) == digest_of(published.path)
    assert listing(published.path) == ["adapter_config.json", "adapter_model.safetensors"]
    assert listing(published.path.parent) == [published.name]


def test_the_same_again_is_the_same_adapter(shelf: AdapterFiles, runs: Path) -> None:
    first = shelf.publish(write_adapter(runs / "one"), "hypotheses")
    before = (first.path / "adapter_config.json").stat()
    assert shelf.publish(write_adapter(runs / "two"), "hypotheses") == first
    assert (first.path / "adapter_config.json").stat() == before
    assert shelf.publish(first.path, "hypotheses") == first
    assert shelf.publish(runs / "one", "ranking").name == f"ranking-{first.digest[:12]}"
    assert len(listing(first.path.parent)) == 2


def test_what_stands_under_its_name_is_never_overwritten(shelf: AdapterFiles, runs: Path) -> None:
    published = shelf.publish(write_adapter(runs / "one"), "hypotheses")
    weights = published.path / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"tampered")
    with pytest.raises(Conflict):
        shelf.publish(runs / "one", "hypotheses")
    assert weights.read_bytes() == b"tampered"
    assert listing(published.path.parent) == [published.name]


@given(seeds=st.lists(st.integers(0, 3), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_published_bytes_stay_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int]
) -> None:
    place = tmp_path_factory.mktemp("p")
    shelf = AdapterFiles(place / "shelf", [place], LIMITS)
    held: dict[Path, bytes] = {}
    for index, seed in enumerate(seeds):
        path = shelf.publish(write_adapter(place / str(index), seed=seed), "hypotheses").path
        held.setdefault(
            path, safetensors({f"{LAYER}.lora_A.weight": [8, 4], f"{LAYER}.lora_B.weight": [4, 8]}, seed)
        )
    assert len(held) == len(set(seeds))
    for path, content in held.items():
        assert (path / "adapter_model.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    "task", ["", "../up", "a/b", "Hypo", "x'y", 'x"y', "x\ny", "$(touch x)", "x-y", "é", "x" * 65, "a\n"]
)
def test_hostile_tasks_are_refused(shelf: AdapterFiles, runs: Path, task: str) -> None:
    source = write_adapter(runs / "one")
    with pytest.raises(InvalidInput):
        shelf.publish(source, task)
    assert listing(runs.parent) == ["runs"]


@pytest.mark.parametrize("name", ["evil.bin", "adapter_model.bin", "x.pt", "x.PTH", "x.pkl", "x.ckpt"])
def test_a_directory_with_a_pickle_is_refused(shelf: AdapterFiles, runs: Path, name: str) -> None:
    source = write_adapter(runs / "one")
    (source / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidInput, match="pickle"):
        shelf.publish(source, "hypotheses")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "other.txt"])
def test_symlinks_inside_are_refused(shelf: AdapterFiles, runs: Path, tmp_path: Path, name: str) -> None:
    source = write_adapter(runs / "one")
    secret = tmp_path / "secret"
    secret.write_text("{}")
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(secret)
    with pytest.raises(InvalidInput, match="symlink"):
        shelf.publish(source, "hypotheses")


def test_symlinks_on_the_way_are_refused(shelf: AdapterFiles, runs: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "outside" / "one")
    (runs / "link").symlink_to(tmp_path / "outside")
    (runs / "direct").symlink_to(tmp_path / "outside" / "one")
    for path in (runs / "link" / "one", runs / "direct"):
        with pytest.raises(InvalidInput, match="symlink"):
            shelf.publish(path, "hypotheses")


@pytest.mark.parametrize(
    "path",
    ["outside/one", "runs/../outside/one", "runs/\0", "runs/none", "runs/file", "runs", f"runs/{'x' * 256}"],
)
def test_paths_out_of_bounds_are_refused(shelf: AdapterFiles, runs: Path, tmp_path: Path, path: str) -> None:
    write_adapter(tmp_path / "outside" / "one")
    (runs / "file").write_text("no directory")
    for look in (lambda where: shelf.publish(where, "hypotheses"), shelf.inspect):
        with pytest.raises(InvalidInput):
            look(tmp_path / path)


def test_what_is_no_plain_file_is_refused(shelf: AdapterFiles, runs: Path) -> None:
    source = write_adapter(runs / "one")
    (source / "adapter_model.safetensors").unlink()
    os.mkfifo(source / "adapter_model.safetensors")
    with pytest.raises(InvalidInput, match="plain file"):
        shelf.publish(source, "hypotheses")
    (source / "adapter_model.safetensors").unlink()
    (source / "adapter_model.safetensors").mkdir()
    with pytest.raises(InvalidInput):
        shelf.publish(source, "hypotheses")
    assert listing(runs.parent / "shelf") == []


def test_a_refused_adapter_leaves_nothing_behind(shelf: AdapterFiles, runs: Path) -> None:
    with pytest.raises(InvalidInput):
        shelf.publish(write_adapter(runs / "one", use_dora=True), "hypotheses")
    assert listing(runs.parent / "shelf") == []


def test_odd_directory_names_are_inert(shelf: AdapterFiles, runs: Path) -> None:
    source = write_adapter(runs / 'it\'s "$(touch x)"\n; rm')
    published = shelf.publish(source, "hypotheses")
    assert published.path.name == published.name
    assert shelf.inspect(source) == published.facts
