import numpy as np
import pytest

from app.clients.embedding.static import StaticEmbedder


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


async def test_rows_are_unit_vectors_in_the_order_of_the_texts(embedder: StaticEmbedder) -> None:
    texts = ["Plan a trip to Tokyo", "build api", "日本語のテキスト"]
    together = await embedder.embed(texts)
    assert together.shape == (3, embedder.dimensions)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, rtol=1e-5)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose((await embedder.embed([text]))[0], row, atol=1e-6)


async def test_a_text_without_words_is_all_zeros(embedder: StaticEmbedder) -> None:
    assert not (await embedder.embed(["", "   ", "?!…"])).any()


async def test_no_texts_give_no_rows(embedder: StaticEmbedder) -> None:
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


async def test_lone_surrogates_do_not_break_it(embedder: StaticEmbedder) -> None:
    assert np.isfinite(await embedder.embed(["bad \ud800 text"])).all()


async def test_meaning_is_nearer_than_noise(embedder: StaticEmbedder) -> None:
    trip, holiday, database = await embedder.embed(
        ["plan a trip", "organise a holiday", "tune a database index"]
    )
    assert trip @ holiday > trip @ database


async def test_many_texts_answer_as_few_do(embedder: StaticEmbedder) -> None:
    texts = [f"note number {i}" for i in range(100)]
    many = await embedder.embed(texts)
    np.testing.assert_allclose(many[70:73], await embedder.embed(texts[70:73]), atol=1e-6)
