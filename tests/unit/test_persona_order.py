"""How options are ordered by what is known of a user."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.clients.embedding.static import StaticEmbedder
from app.models import Choice
from app.services.contrast import bag
from app.services.persona import PersonaService
from tests.fakes import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRIPS = ("A quiet cabin by a lake", "A loud club in the city", "A crowded party beach")
PLANS = ["Dance all night in a packed nightclub", "Read beside the water in silence"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def service(store: MemoryStore) -> PersonaService:
    return PersonaService(store, StaticEmbedder())


async def choose(
    service: PersonaService,
    store: MemoryStore,
    user: str,
    selected: str,
    question: str = "Where shall I go for the weekend?",
    options: tuple[str, ...] = TRIPS,
) -> None:
    await store.add_choice(Choice(f"c-{user}", "default", user, question, options, selected, NOW))
    await service.learn("default", user)


async def test_users_who_chose_the_opposite_get_the_opposite_order(
    service: PersonaService, store: MemoryStore
) -> None:
    await choose(service, store, "ada", TRIPS[0])
    await choose(service, store, "bob", TRIPS[1])
    orders = {}
    for user in ("ada", "bob"):
        ranked, producer = await service.rank("default", user, "What shall I do tonight?", PLANS)
        orders[user] = [text.index for text in ranked]
        assert producer == "persona"
        assert [text.text for text in ranked] == [PLANS[index] for index in orders[user]]
    assert orders == {"ada": [1, 0], "bob": [0, 1]}


async def test_without_facets_the_nearest_to_the_query_comes_first(service: PersonaService) -> None:
    ranked, producer = await service.rank("default", "new", "a recipe for soup", ["a red car", "tomato soup"])
    assert [text.index for text in ranked] == [1, 0]
    assert producer == "relevance"


async def test_texts_without_words_and_no_texts_are_ranked_too(
    service: PersonaService, store: MemoryStore
) -> None:
    await choose(service, store, "ada", TRIPS[0])
    ranked, _ = await service.rank("default", "ada", "?", ["...", "", "a lake"])
    assert ranked[0].index == 2
    assert (await service.rank("default", "ada", "?", []))[0] == []


async def test_a_negated_word_counts_for_the_other_side(service: PersonaService, store: MemoryStore) -> None:
    await choose(service, store, "ada", "Fruit", "Which snack?", ("Fruit", "Cake with nuts"))
    ranked, _ = await service.rank("default", "ada", "And now?", ["Bread with nuts", "Bread without nuts"])
    assert [text.index for text in ranked] == [1, 0]


def test_a_negation_reaches_two_words_with_content() -> None:
    assert bag("minimal resource management in the city").signs == (-1, -1, 1)
    assert bag("a sugar-free drink").signs == (-1, 1)
    assert bag("the soup", without={"soup"}).words == ("soup",)
    assert bag("hot soup", without={"soup"}).words == ("hot",)
