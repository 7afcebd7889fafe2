from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.datasets import Parts, Row, distinct, row_id, split
from app.services.training.lines import HYPOTHESES
from app.services.training.shelves import DatasetShelf
from tests.nouns import a_selection, at
from tests.unit.test_trainer import asked, manifest, rows

USERS = st.sampled_from([("default", name) for name in "abcdefghijkl"])
TEXTS = st.sampled_from(["build api", "Build the API!", "plan trip", "a trip: plan it", "bake", "", "…", "!"])


def a_row(user: tuple[str, str] = ("default", "ann"), text: str = "build api", seconds: float = 0) -> Row:
    said = f"{text} {seconds % 3}"
    columns = {"prompt": [{"role": "user", "content": text}], "completion": [{"role": "a", "content": said}]}
    return Row("hypotheses", columns, (user,), text, at(seconds), (f"picked:{user[1]}{seconds}",))


ROWS = st.lists(st.builds(a_row, USERS, TEXTS, st.integers(0, 30).map(float)), max_size=30)
SHARES = st.floats(0, 0.5)


@given(ROWS, SHARES)
def test_nothing_leaks_from_what_is_held_out(made: list[Row], share: float) -> None:
    parts = split(made, share)
    assert not {row.likeness for row in parts.train} & {row.likeness for row in parts.held_out}
    assert not {row.id for row in parts.train} & {row.id for row in parts.held_out}
    latest = {user: row.time for row in parts.train for user in row.users}
    said_by_one = [(row.users[0], row.time) for row in parts.held_out if len(row.users) == 1]
    assert all(time > latest[user] for user, time in said_by_one if user in latest)


@given(ROWS, SHARES)
def test_every_row_is_learned_from_held_out_or_known_by_heart(made: list[Row], share: float) -> None:
    parts = split(made, share)
    placed = {row.id for part in (parts.train, parts.held_out, parts.by_heart) for row in part}
    assert placed == {row.id for row in made}
    assert not made or parts.train


@given(ROWS)
def test_what_is_distinct_stays_so_and_keeps_every_record(made: list[Row]) -> None:
    once = distinct(made)
    assert distinct(once) == once
    assert len({row.id for row in once}) == len(once)
    assert {record for row in once for record in row.records} == {r for row in made for r in row.records}


@given(ROWS, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_the_lines_changes_nothing(made: list[Row], share: float, chance: random.Random) -> None:
    shuffled = list(made)
    chance.shuffle(shuffled)
    first, again = split(made, share), split(shuffled, share)
    assert (again.train, again.held_out) == (first.train, first.held_out)


def test_the_weight_is_no_part_of_what_a_row_says() -> None:
    assert row_id(replace(a_row(), weight=3.0).line) == a_row().id != a_row(text="bake").id


def test_the_same_users_are_held_out_whatever_is_said_since() -> None:
    people = [("default", f"user {number}") for number in range(60)]
    made = [a_row(user, f"word{place}", seconds=place) for place, user in enumerate(people)]
    since = [a_row(user, f"other{place}", seconds=100 + place) for place, user in enumerate(people)]
    trained = {user for row in split(made, 0.2).train for user in row.users}
    later = {user for row in split([*made, *since], 0.2).train for user in row.users}
    never = {*people} - later
    assert 6 <= len(never) <= 18 and not never & trained


def test_one_user_alone_is_trained_on_and_the_newest_of_it_held_out() -> None:
    made = [a_row(text=f"word{number}", seconds=number) for number in range(20)]
    for share in (0.1, 0.5):
        parts = split(made, share)
        assert len(parts.held_out) == 20 * share
        assert max(row.time for row in parts.train) < min(row.time for row in parts.held_out)


async def record(directory: Path, said: Sequence[tuple[str, str, str]]) -> TrainingDataCollector:
    """(tenant, user, text) of each pick, in this order."""
    collector = TrainingDataCollector(directory)
    for number, (tenant, user, text) in enumerate(said):
        request = asked(f"r{number}", text, tenant=tenant, user_id=user, created_at=at(number))
        pick = a_selection(
            request.id, tenant=tenant, user_id=user, hypothesis_id="h1", created_at=at(number + 0.5)
        )
        collector.record_selection(request, pick)
    await collector.flush()
    return collector


SAID = [
    ("default", "ann", "build api"),
    ("default", "bob", "plan trip"),
    ("other", "ann", "hide treasure"),
    ("default", "cat", "bake bread"),
    ("default", "bob", "build api"),
]


async def test_the_same_records_give_the_same_directory_in_whatever_order(tmp_path: Path) -> None:
    collector = await record(tmp_path, SAID)
    first = await ModelTrainer(collector).prepare_training_dataset()
    file = tmp_path / HYPOTHESES
    file.write_bytes(b"".join(reversed(file.read_bytes().splitlines(keepends=True))))
    again = await ModelTrainer(TrainingDataCollector(tmp_path)).prepare_training_dataset()
    assert again == first
    assert first["hypotheses"].parent.name.startswith("default-hypotheses-")
    assert [path.name for path in (tmp_path / "datasets").glob(".draft-*")] == []


async def test_the_manifest_has_the_hash_of_each_file(tmp_path: Path) -> None:
    datasets = await ModelTrainer(await record(tmp_path, SAID)).prepare_training_dataset()
    for path in datasets.values():
        for name, told in manifest(path)["files"].items():
            content = (path.parent / name).read_bytes()
            assert told == {"rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}


async def test_lineage_names_the_records_of_each_row(tmp_path: Path) -> None:
    datasets = await ModelTrainer(await record(tmp_path, SAID)).prepare_training_dataset(eval_share=0)
    lineage = rows(datasets["hypotheses"].parent / "lineage.jsonl")
    assert [one["row"] for one in lineage] == [row_id(row) for row in rows(datasets["hypotheses"])]
    assert lineage[0]["users"] == [["default", "ann"], ["default", "bob"]]
    assert lineage[0]["records"] == ["picked:r0", "picked:r4"]


async def test_nothing_of_another_tenant_without_its_word(tmp_path: Path) -> None:
    trainer = ModelTrainer(await record(tmp_path, SAID))
    own = await trainer.prepare_training_dataset(eval_share=0)
    assert "treasure" not in own["hypotheses"].read_text()
    assert "other" not in (own["hypotheses"].parent / "lineage.jsonl").read_text()
    shared = await trainer.prepare_training_dataset(eval_share=0, shared=("other",))
    assert "treasure" in shared["hypotheses"].read_text()


async def test_what_another_tenant_does_changes_no_directory(tmp_path: Path) -> None:
    strangers = [("other", "eve", f"secret {number}") for number in range(5)]
    with_them = await record(tmp_path / "with", [*SAID, *strangers])
    without = await record(tmp_path / "without", SAID)
    names = [
        [path.parent.name for path in (await ModelTrainer(one).prepare_training_dataset()).values()]
        for one in (with_them, without)
    ]
    assert names[0] == names[1]


async def test_a_hostile_tenant_is_no_path(tmp_path: Path) -> None:
    for tenant in ("../../x", "a/b", "", "$(id)", "x" * 300, "ü", "..", "a\nb"):
        collector = await record(tmp_path, [(tenant, "ann", "build api")])
        datasets = await ModelTrainer(collector).prepare_training_dataset(tenant, ("hypotheses",))
        assert datasets["hypotheses"].resolve().parent.parent == tmp_path / "datasets"


async def test_a_user_is_erased_from_every_dataset_and_nobody_else(tmp_path: Path) -> None:
    collector = await record(tmp_path, SAID)
    trainer = ModelTrainer(collector)
    datasets = await trainer.prepare_training_dataset(eval_share=0, shared=("other",))
    assert (await trainer.erase("default", "nobody")) == {}
    gone = await trainer.erase("default", "bob")
    assert {name.split("-")[1]: count for name, count in gone.items()} == {"hypotheses": 2, "preferences": 6}
    left = datasets["hypotheses"].read_text()
    assert "plan trip" not in left
    assert all(kept in left for kept in ("build api", "bake bread", "hide treasure"))
    assert "bob" not in (datasets["hypotheses"].parent / "lineage.jsonl").read_text()
    assert manifest(datasets["hypotheses"])["erased"] == 2
    for name, told in manifest(datasets["hypotheses"])["files"].items():
        content = (datasets["hypotheses"].parent / name).read_bytes()
        assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert await trainer.erase("default", "bob") == {}


async def test_to_erase_makes_no_directory(tmp_path: Path) -> None:
    trainer = ModelTrainer(TrainingDataCollector(tmp_path / "none"))
    assert await trainer.erase("default", "ann") == {}
    assert not (tmp_path / "none").exists()


@settings(max_examples=25, deadline=None)
@given(ROWS, USERS)
def test_erasing_leaves_what_others_said_and_only_that(made: list[Row], gone: tuple[str, str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        shelf = DatasetShelf(Path(directory))
        path = shelf.write("default", "hypotheses", Parts(distinct(made)), {"options": {}})
        shelf.erase(*gone)
        left = {row_id(orjson.loads(line)) for line in (path / "hypotheses.jsonl").read_bytes().splitlines()}
        assert left == {row.id for row in made if row.users != (gone,)}
        assert "erased" in manifest(path / "hypotheses.jsonl")
