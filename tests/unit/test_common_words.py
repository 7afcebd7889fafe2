"""Words leave a user's scope once users enough know them, and not before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.models import Detail
from app.services.common_words import ENOUGH_USERS, CommonWords, Waiting, WaitingRoom
from app.services.learned_playbook import LearnedPlaybook
from app.services.lessons import Lesson

VECTOR = np.array([1.0, 0.0], np.float32)
USERS = ["ann", "bob", "cyd", "dan", "eve"]
WORDS = ["budget", "uncle", "bob", "season"]

heard = st.lists(
    st.tuples(st.sampled_from(USERS), st.sets(st.sampled_from(WORDS)), st.sets(st.sampled_from(WORDS))),
    max_size=20,
)


def a_lesson(number: int, user: str, *telling: str) -> Lesson:
    detail = Detail(" ".join(telling), "What is it?", 3.0)
    return Lesson(f"{number:04}", user, "a request", detail, detail, frozenset(telling))


@given(heard)
def test_a_word_that_a_user_wrote_is_private_until_users_enough_know_it(
    history: list[tuple[str, set[str], set[str]]],
) -> None:
    words = CommonWords()
    wrote: dict[str, set[str]] = {word: set() for word in WORDS}
    know: dict[str, set[str]] = {word: set() for word in WORDS}
    for user, written, shown in history:
        became = words.heard(user, written, shown)
        before = {word: len(known) for word, known in know.items()}
        for word in written:
            wrote[word].add(user)
        for word in written | shown:
            know[word].add(user)
        newly = {word for word in WORDS if before[word] < ENOUGH_USERS <= len(know[word])}
        assert set(became) == newly
        for other in USERS:
            for word in WORDS:
                private = other in wrote[word] and len(know[word]) < ENOUGH_USERS
                assert (words.private(other, [word]) == word) == private


def test_where_there_is_no_room_a_word_is_private() -> None:
    words = CommonWords(size=2)
    words.heard("ann", ["uncle", "bob"], [])
    words.heard("ann", ["season"], [])
    assert words.private("ann", ["season"]) == "season"
    assert words.private("cyd", ["uncle"]) is None


@given(st.lists(st.tuples(st.sampled_from(USERS), st.sets(st.sampled_from(WORDS), min_size=1)), max_size=15))
def test_the_tenant_reads_no_word_before_users_enough_know_it(
    history: list[tuple[str, set[str]]],
) -> None:
    book = LearnedPlaybook()
    wrote: dict[str, set[str]] = {word: set() for word in WORDS}
    for number, (user, telling) in enumerate(history):
        for word in telling:
            wrote[word].add(user)
        book.heard(user, telling, (), number)
        book.learn(a_lesson(number, user, *sorted(telling)), VECTOR, number)
        told = {word for entry in book.entries(None) for word in entry.detail.description.split()}
        assert told <= {word for word in WORDS if len(wrote[word]) >= ENOUGH_USERS}
        read = book.resembling(VECTOR, "new", 50, exclude_same=False)
        assert {word for one in read for word in one.details[0].description.split()} <= told
    waiting = [telling for _, telling in history if any(len(wrote[word]) < ENOUGH_USERS for word in telling)]
    assert book.withheld[0] == len(waiting)


def test_an_option_that_only_one_user_wrote_stays_with_them() -> None:
    book = LearnedPlaybook()
    detail = Detail("place", "Where?", 2.0, ("bob", "paris", "rome"))
    book.heard("ann", ["bob"], (), 1)
    book.learn(Lesson("0001", "ann", "a request", detail, detail, frozenset(["place"])), VECTOR, 1)
    (entry,) = book.entries(None)
    assert entry.detail.options == ("paris", "rome")
    assert book.entries("ann")[0].detail.options == detail.options


def test_in_a_full_room_who_has_waited_for_longest_goes() -> None:
    room = WaitingRoom(size=2)
    for number, word in enumerate(("budget", "uncle", "uncle")):
        room.enter(Waiting(a_lesson(number, "ann", word), VECTOR), word)
    assert len(room) == 2
    assert room.called("budget") == []
    assert [one.lesson.id for one in room.called("uncle")] == ["0001", "0002"]
    assert len(room) == 0
