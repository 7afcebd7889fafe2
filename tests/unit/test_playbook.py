import asyncio
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.embedding.static import StaticEmbedder
from app.errors import ConfigError
from app.services.playbook import Playbook

SHIPPED = Path(__file__).parents[2] / "data" / "playbook" / "in3.jsonl"


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


def write(path: Path, texts: Sequence[str]) -> Path:
    detail = {
        "description": "Budget",
        "question": "What is your budget?",
        "importance": 2,
        "options": ["Low"],
    }
    rows = [{"id": f"e{n}", "text": text, "vague": True, "details": [detail]} for n, text in enumerate(texts)]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


async def test_the_shipped_playbook_holds_both_classes_and_names_its_licence(
    embedder: StaticEmbedder,
) -> None:
    playbook = await Playbook.open(SHIPPED, embedder)
    assert len(playbook) == 1017
    examples = await playbook.resembling("plan a trip", 1017)
    assert {example.vague for example in examples} == {True, False}
    assert "Apache License" in (SHIPPED.parent / "LICENSE").read_text()
    assert "OpenBMB/Tell_Me_More" in (SHIPPED.parent / "NOTICE").read_text()


async def test_the_likest_come_first_with_their_details(embedder: StaticEmbedder, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", ["Bake a chocolate cake", "Plan a trip to Paris", "Fix a bicycle"])
    playbook = await Playbook.open(path, embedder)
    examples = await playbook.resembling("Plan a trip to Tokyo", 2)
    assert examples[0].text == "Plan a trip to Paris"
    assert examples[0].details[0].description == "Budget"
    assert 1 >= examples[0].similarity >= examples[1].similarity >= 0


async def test_the_same_request_is_found_at_similarity_one(embedder: StaticEmbedder, tmp_path: Path) -> None:
    playbook = await Playbook.open(write(tmp_path / "p.jsonl", ["Bake a cake", "Fix a bicycle"]), embedder)
    assert (await playbook.resembling("Bake a cake", 1))[0].similarity == pytest.approx(1.0, abs=1e-5)


async def test_an_entry_made_from_this_request_is_left_out(embedder: StaticEmbedder, tmp_path: Path) -> None:
    playbook = await Playbook.open(write(tmp_path / "p.jsonl", ["Bake a cake", "Bake a pie"]), embedder)
    kept = await playbook.resembling("  bake a CAKE!", 5, exclude_own_row=True)
    assert [example.text for example in kept] == ["Bake a pie"]
    assert len(await playbook.resembling("  bake a CAKE!", 5)) == 2


async def test_an_empty_playbook_resembles_nothing(embedder: StaticEmbedder) -> None:
    assert await (await Playbook.open(None, embedder)).resembling("anything", 5) == ()


@given(text=st.text(), k=st.integers(0, 5))
async def test_any_text_gets_at_most_k_examples(text: str, k: int, three_entries: Playbook) -> None:
    examples = await three_entries.resembling(text, k)
    assert len(examples) <= min(k, 3)
    assert all(0 <= example.similarity <= 1 for example in examples)


@pytest.fixture(scope="module")
def three_entries(tmp_path_factory: pytest.TempPathFactory) -> Playbook:
    path = tmp_path_factory.mktemp("playbook") / "p.jsonl"
    return asyncio.run(Playbook.open(write(path, ["Bake a cake", "Plan a trip", ""]), StaticEmbedder()))


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"id": "x"}', b'{"id":"x","text":"t","vague":true,"details":[1]}']
)
async def test_a_broken_line_is_named(line: bytes, embedder: StaticEmbedder, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", ["Bake a cake"])
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ConfigError, match=r"p\.jsonl, line 2"):
        await Playbook.open(path, embedder)


async def test_a_missing_file_is_named(embedder: StaticEmbedder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none"):
        await Playbook.open(tmp_path / "none.jsonl", embedder)
