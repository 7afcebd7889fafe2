from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import Interaction
from app.services.training import TrainingDataCollector
from app.services.training.history import History, history_lines, read_history
from app.services.training.lines import FEEDBACK, FILES, HYPOTHESES, PERSONAS, RANKINGS, Line
from tests.fakes import MemoryStore
from tests.nouns import (
    a_choice,
    a_facet,
    a_feedback,
    a_hypothesis,
    a_selection,
    an_advance,
    an_interaction,
    at,
    hold,
)

FACETS = a_facet("f1", evidence=("r1",)), a_facet("f2", value="Go", evidence=("r2",))
FOUND = [{"id": "m1", "text": "tea", "score": 0.9}, {"id": "m2", "text": "coffee", "score": 0.2}]


def a_search(id: str = "q1", **fields: Any) -> Interaction:  # noqa: A002
    return an_interaction(id, kind="search", input_text="drinks?", answer={"results": FOUND}, **fields)


def read(directory: Path, name: str) -> list[Line]:
    return [orjson.loads(line) for line in (directory / name).read_bytes().splitlines()]


def by_id(directory: Path, name: str) -> dict[str, Line]:
    return {line["record_id"]: line for line in read(directory, name)}


def record_everything(collector: TrainingDataCollector) -> None:
    collector.record_interaction(an_interaction("r1"))
    collector.record_interaction(a_search("q1"))
    collector.record_selection(an_interaction("r1"), a_selection("r1"))
    collector.record_feedback(a_feedback("b1", useful=("m1",), request_id="q1"), a_search("q1"))
    collector.record_feedback(a_feedback("b2", rating=-0.5, request_id=None))
    collector.record_choice(a_choice())
    collector.record_persona_update("default", "ann", None, FACETS[0], "r1")
    collector.record_persona_update("default", "ann", *FACETS, "r2")


async def test_a_request_and_what_was_picked(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_interaction(an_interaction())
        collector.record_selection(an_interaction(), a_selection(option="Go"))
    shown, picked = read(tmp_path, HYPOTHESES)
    assert {key: shown[key] for key in ("request_id", "user_id", "backend", "model", "adapter", "event")} == {
        "request_id": "r1",
        "user_id": "ann",
        "backend": "vllm",
        "model": "small",
        "adapter": "",
        "event": "shown",
    }
    assert orjson.loads(shown["messages"]) == [{"role": "user", "content": "build api"}]
    assert [item["id"] for item in orjson.loads(shown["shown"])] == ["h1", "h2"]
    assert (shown["picked"], shown["label_confidence"], shown["for_training"]) == ("", 0.3, False)
    assert orjson.loads(picked["picked"]) == {"hypothesis_id": "h1", "option": "Go", "free_text": None}
    assert (picked["event"], picked["label_confidence"], picked["for_training"]) == ("picked", 1.0, True)
    assert picked["messages"] == shown["messages"]


async def test_a_ranking_and_the_labels_that_came_later(tmp_path: Path) -> None:
    feedback = a_feedback(useful=("m1",), not_useful=("m2",), request_id="q1")
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_interaction(a_search())
        collector.record_feedback(feedback, a_search())
    shown, labelled = read(tmp_path, RANKINGS)
    assert (shown["query"], shown["labels"], shown["for_training"]) == ("drinks?", "{}", False)
    assert orjson.loads(shown["candidates"]) == FOUND
    assert labelled["candidates"] == shown["candidates"]
    assert orjson.loads(labelled["labels"]) == {"rating": 1.0, "useful": ["m1"], "not_useful": ["m2"]}
    assert (labelled["event"], labelled["for_training"]) == ("labelled", True)
    assert [line["request_id"] for line in read(tmp_path, FEEDBACK)] == ["q1"]


@pytest.mark.parametrize(
    ("fields", "confidence", "for_training"),
    [
        ({"rating": 1.0}, 1.0, True),
        ({"rating": -0.7}, 0.7, True),
        ({"rating": 0.5}, 0.5, False),
        ({"rating": 0}, 0.0, False),
        ({"rating": 0.1, "correction": "in Go, please"}, 1.0, True),
        ({"rating": 0.1, "not_useful": ("m1",)}, 1.0, True),
    ],
)
async def test_a_label_is_as_sure_as_its_giver_was(
    tmp_path: Path, fields: dict[str, Any], confidence: float, for_training: bool
) -> None:
    async with TrainingDataCollector(tmp_path, min_confidence=0.7) as collector:
        collector.record_feedback(a_feedback(**fields), an_interaction())
    (line,) = read(tmp_path, FEEDBACK)
    assert (line["label_confidence"], line["for_training"]) == (confidence, for_training)


async def test_a_facet_before_and_after(tmp_path: Path) -> None:
    before, after = (
        a_facet("f1", valid_to=at(1)),
        a_facet("f2", value="Go", valid_from=at(1), evidence=("r7",)),
    )
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_persona_update("default", "ann", before, after, "r7")
    (line,) = read(tmp_path, PERSONAS)
    assert (line["facet"], line["request_id"]) == ("programming language", "r7")
    assert orjson.loads(line["before"])["value"] == "Python"
    held = orjson.loads(line["after"])
    assert (held["value"], held["evidence"], held["id"]) == ("Go", ["r7"], "f2")


async def test_every_line_of_a_file_has_the_same_keys_and_types(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path) as collector:
        record_everything(collector)
        collector.record_interaction(an_interaction("bare", answer={}, record={}))
        collector.record_interaction(an_interaction("r", kind="rank", answer={"ranking": [{"index": 0}]}))
    for name in FILES:
        shapes = {tuple((key, type(value)) for key, value in line.items()) for line in read(tmp_path, name)}
        assert len(shapes) == 1, name
        assert {kind for _, kind in shapes.pop()} <= {str, int, float, bool}


async def test_nothing_secret_reaches_the_disk(tmp_path: Path) -> None:
    card, mail, key = "4111 1111 1111 1111", "ann@example.com", "sk-" + "a1B2" * 8
    secret = f"{card} {mail} {key}"
    telling = an_interaction(
        input_text=secret,
        user_id=mail,
        session_id=key,
        answer={
            "hypotheses": [{**a_hypothesis(), "id": mail, "options": [secret]}],
            "results": [{"text": secret}],
        },
        record={"messages": [{"content": secret}], "candidates": [{"id": mail, "text": secret}]},
    )
    search = an_interaction("q", kind="search", input_text=secret, user_id=mail, answer=telling.answer)
    feedback = a_feedback(user_id=mail, comment=secret, correction=secret, useful=(mail,), not_useful=(key,))
    facet = a_facet(name=secret, value=secret, rejected=(secret,), context=secret, evidence=(mail,))
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_interaction(telling)
        collector.record_interaction(search)
        collector.record_selection(telling, a_selection(option=secret, free_text=secret, user_id=mail))
        collector.record_feedback(feedback, search)
        collector.record_choice(a_choice(input_text=secret, options=(secret,), selected=secret, user_id=mail))
        collector.record_persona_update("default", mail, facet, facet, mail)
    for name in FILES:
        content = (tmp_path / name).read_text()
        assert "[redacted:email]" in content
        assert not [word for word in (card, mail, key) if word in content], name


async def test_erasure_finds_a_user_whose_id_is_an_address(tmp_path: Path) -> None:
    mail = "ann@example.com"
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_interaction(an_interaction("r1", user_id=mail))
        collector.record_interaction(an_interaction("r2", user_id="bob"))
        collector.record_interaction(an_interaction("r3", user_id=mail, tenant="other"))
        collector.record_choice(a_choice(user_id=mail))
        assert await collector.erase("default", mail) == {HYPOTHESES: 1, FEEDBACK: 1}
        assert await collector.erase("default", mail) == {}
    assert [line["request_id"] for line in read(tmp_path, HYPOTHESES)] == ["r2", "r3"]


async def test_recording_returns_before_anything_is_written(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path, flush_seconds=30) as collector:
        record_everything(collector)
        assert not (tmp_path / HYPOTHESES).exists()
        assert (await collector.stats())["queued"] == 9
    assert len(read(tmp_path, HYPOTHESES)) == 2


async def lines_in(collector: TrainingDataCollector, name: str, count: int) -> None:
    while (await collector.stats())["files"][name]["lines"] < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_the_background_task_writes_by_itself(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path, flush_seconds=0.01) as collector:
        for number in range(3):
            collector.record_interaction(an_interaction(f"r{number}"))
            async with asyncio.timeout(10):
                await lines_in(collector, HYPOTHESES, number + 1)


async def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path, queue_size=2, flush_seconds=30) as collector:
        for number in range(5):
            collector.record_interaction(an_interaction(f"r{number}"))
        assert (await collector.stats())["dropped"] == 3
    assert [line["request_id"] for line in read(tmp_path, HYPOTHESES)] == ["r0", "r1"]


async def test_what_comes_after_closing_is_dropped_and_counted(tmp_path: Path) -> None:
    collector = TrainingDataCollector(tmp_path)
    async with collector:
        pass
    collector.record_choice(a_choice())
    await collector.aclose()
    assert (await collector.stats())["dropped"] == 1
    assert not (tmp_path / FEEDBACK).exists()


async def test_disabled_it_touches_nothing(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path / "no", enabled=False) as collector:
        record_everything(collector)
        assert (await collector.stats())["dropped"] == 0
    assert not (tmp_path / "no").exists()


async def test_an_unwritable_directory_is_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        async with TrainingDataCollector(tmp_path / "file" / "data") as collector:
            for number in range(3):
                collector.record_interaction(an_interaction(f"r{number}"))
                await collector.flush()
            stats = await collector.stats()
    assert (stats["failed"], stats["queued"]) == (3, 0)
    assert len(caplog.records) == 1


async def test_one_line_that_cannot_be_written_costs_no_other(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_interaction(an_interaction("r1", record={"messages": [{"content": "\ud800"}]}))
        collector.record_interaction(an_interaction("r2", answer={"hypotheses": 3}))
        collector.record_interaction(an_interaction("r3"))
        await collector.flush()
        assert (await collector.stats())["failed"] == 2
    assert [line["request_id"] for line in read(tmp_path, HYPOTHESES)] == ["r3"]


async def test_a_torn_line_is_healed_at_the_start(tmp_path: Path) -> None:
    async with TrainingDataCollector(tmp_path) as collector:
        collector.record_choice(a_choice())
    with (tmp_path / FEEDBACK).open("ab") as file:
        file.write(b'{"torn')
    async with TrainingDataCollector(tmp_path) as collector:
        assert (await collector.stats())["healed"] == 1
    assert len(read(tmp_path, FEEDBACK)) == 1


async def test_an_export_is_what_was_recorded_live(tmp_path: Path) -> None:
    store = MemoryStore()
    for interaction in (an_interaction("r1"), a_search("q1")):
        await store.add_interaction(interaction)
    await store.add_selection(a_selection("r1"))
    await store.add_choice(a_choice())
    await store.add_feedback(a_feedback("b1", useful=("m1",), request_id="q1"))
    await store.add_feedback(a_feedback("b2", rating=-0.5, request_id=None))
    await hold(store, FACETS)
    history = await read_history(store)
    async with TrainingDataCollector(tmp_path / "live") as collector:
        collector.record_interaction(an_interaction("r1"))
        record_everything(collector)
        exported = await collector.export(history, tmp_path / "exported")
        exported_again = await collector.export(history, tmp_path / "exported")
    assert exported == exported_again == {HYPOTHESES: 2, PERSONAS: 2, RANKINGS: 2, FEEDBACK: 3}
    for name in FILES:
        assert by_id(tmp_path / "exported", name) == by_id(tmp_path / "live", name)


def test_what_was_asked_and_undone_between_two_reads_is_left_out() -> None:
    asked, late = an_interaction("r1"), an_advance("t2", request_id="r2", outcome="undone")
    history = History(interactions=[(asked, None)], undone=[late])
    assert [line["request_id"] for line in history_lines(history)[HYPOTHESES]] == ["r1"]


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3))
def test_any_text_becomes_one_line(text: str, context: dict[str, str]) -> None:
    interaction = an_interaction(input_text=text, record={"messages": [{"content": text, **context}]})
    (line,) = history_lines(History([(interaction, None)]))[HYPOTHESES]
    assert b"\n" not in orjson.dumps(line)
    assert line["record_id"] == "shown:r1"
    assert orjson.loads(line["messages"])
