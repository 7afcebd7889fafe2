from __future__ import annotations

import logging
import multiprocessing
import resource
import threading
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.training.jsonl import JsonlDirectory, to_line

NAME = "a.jsonl"


def opened(directory: Path) -> JsonlDirectory:
    return JsonlDirectory(directory, [NAME, "b.jsonl"])


def fill(directory: Path, count: int, user: str = "ann") -> None:
    opened(directory).append(NAME, b"".join(to_line({"user": user, "n": n}) for n in range(count)))


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    fill(tmp_path / "new", 3)
    fill(tmp_path / "new", 1, "bob")
    files = opened(tmp_path / "new")
    assert [(line["user"], line["n"]) for line in files.read(NAME)] == [
        ("ann", 0),
        ("ann", 1),
        ("ann", 2),
        ("bob", 0),
    ]
    assert list(files.read("b.jsonl")) == []
    size = (tmp_path / "new" / NAME).stat().st_size
    assert files.sizes() == {NAME: (4, size), "b.jsonl": (0, 0)}


@given(kept=st.integers(0, 3), torn=st.binary(min_size=1, max_size=200_000).filter(lambda b: b"\n" not in b))
def test_a_torn_line_is_cut_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, kept: int, torn: bytes
) -> None:
    directory = tmp_path_factory.mktemp("torn")
    fill(directory, kept)
    whole = (directory / NAME).read_bytes()
    (directory / NAME).write_bytes(whole + torn)
    files = opened(directory)
    files.heal()
    assert (directory / NAME).read_bytes() == whole
    assert files.healed == 1


def test_a_torn_line_of_a_writer_killed_beside_us_is_cut_before_we_append(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = opened(tmp_path)
    files.heal()
    fill(tmp_path, 1)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"user": "ann", "n')
    with caplog.at_level(logging.WARNING):
        files.append(NAME, to_line({"user": "bob", "n": 1}))
    assert [line["user"] for line in files.read(NAME)] == ["ann", "bob"]
    assert "torn last line of 18 bytes" in caplog.text


def test_erasure_takes_one_user_and_keeps_every_other_byte(tmp_path: Path) -> None:
    fill(tmp_path, 2, "ann")
    fill(tmp_path, 2, "bob é")
    bobs = (tmp_path / NAME).read_bytes().split(b"\n", 2)[2]
    files = opened(tmp_path)
    assert files.erase(lambda line: line["user"] == "ann") == {NAME: 2}
    assert (tmp_path / NAME).read_bytes() == bobs
    assert files.erase(lambda line: line["user"] == "ann") == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", NAME]


def test_erasure_reaches_a_torn_line_and_half_a_rewrite(tmp_path: Path) -> None:
    fill(tmp_path, 1, "bob")
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"user": "ann", "se')
    opened(tmp_path).erase(lambda line: line["user"] == "ann")
    assert b"ann" not in (tmp_path / NAME).read_bytes()
    (tmp_path / f"{NAME}.new").write_bytes(b'{"user": "ann"}')
    opened(tmp_path).heal()
    assert not (tmp_path / f"{NAME}.new").exists()


def test_a_line_that_is_no_json_stops_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"\x00\x00\n[]\n")
    fill(tmp_path, 1, "bob")
    assert opened(tmp_path).erase(lambda line: line["user"] == "ann") == {NAME: 1}
    assert [line["user"] for line in opened(tmp_path).read(NAME)] == ["bob"]


def test_replace_writes_anew(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    assert opened(tmp_path).replace({NAME: iter([{"n": 9}]), "b.jsonl": []}) == {NAME: 1, "b.jsonl": 0}
    assert (tmp_path / NAME).read_bytes() == b'{"n":9}\n'


def append_many(directory: Path, user: str) -> None:
    for _ in range(40):
        fill(directory, 25, user)


def test_several_processes_append_while_one_rewrites(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(tmp_path, user)) for user in ("ann", "bob")]
    for writer in writers:
        writer.start()
    fill(tmp_path, 5, "cho")
    while any(writer.is_alive() for writer in writers):
        opened(tmp_path).erase(lambda line: line["user"] == "cho")
        fill(tmp_path, 5, "cho")
        writers[0].join(0.02)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    lines = [orjson.loads(line) for line in (tmp_path / NAME).read_bytes().splitlines()]
    for user in ("ann", "bob"):
        assert [line["n"] for line in lines if line["user"] == user] == [*range(25)] * 40


def test_a_disk_that_takes_half_a_line_is_given_back_that_half(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    whole = (tmp_path / NAME).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
    try:
        with pytest.raises(OSError, match="the disk took 10 of"):
            fill(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / NAME).read_bytes() == whole


def test_a_lock_that_is_never_given_back_is_not_waited_for(tmp_path: Path) -> None:
    patient, hasty = opened(tmp_path), JsonlDirectory(tmp_path, [NAME], lock_seconds=0.05)
    inside, leave = threading.Event(), threading.Event()

    def hold(_: object) -> bool:
        inside.set()
        leave.wait()
        return False

    fill(tmp_path, 1)
    holder = threading.Thread(target=patient.erase, args=(hold,))
    holder.start()
    inside.wait()
    try:
        with pytest.raises(TimeoutError):
            hasty.append(NAME, b"{}\n")
    finally:
        leave.set()
        holder.join()
