import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import (
    Call,
    Completion,
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    JudgeClarity,
    ScoreRelevance,
    Summarize,
    UpdateFacets,
)
from app.clients.slm.local import LocalClient
from app.clients.slm.rules.wording import opening
from app.models import Detail, Example, FacetChange, Hypothesis, Turn
from app.services.playbook import Playbook
from app.tokens import estimate

SHIPPED = Path(__file__).parents[2] / "data" / "playbook" / "in3.jsonl"
CALL = Call(request_id="r1")


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def playbook(embedder: StaticEmbedder) -> Playbook:
    return asyncio.run(Playbook.open(SHIPPED, embedder))


@pytest.fixture(scope="module")
def local(embedder: StaticEmbedder) -> LocalClient:
    return LocalClient(embedder)


async def asked(local: LocalClient, task: GenerateHypotheses) -> list[str]:
    return [hypothesis.question for hypothesis in (await local.run(task, CALL)).value]


@pytest.mark.parametrize("text", ["plan a trip to Tokyo", "build api", "I need a new laptop.", "help"])
@pytest.mark.parametrize("count", [1, 3, 5])
async def test_as_many_distinct_questions_as_wanted(
    text: str, count: int, local: LocalClient, playbook: Playbook
) -> None:
    task = GenerateHypotheses(text, examples=await playbook.resembling(text), count=count)
    hypotheses = (await local.run(task, CALL)).value
    assert len(hypotheses) == count
    assert len({opening(hypothesis.question) for hypothesis in hypotheses}) == count
    assert len({hypothesis.id for hypothesis in hypotheses}) == count
    scores = [hypothesis.confidence.raw for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    for hypothesis in hypotheses:
        assert hypothesis.question.endswith("?")
        assert hypothesis.producer == "local"
        assert 1 <= hypothesis.importance <= 3
        assert 0 <= hypothesis.confidence.raw <= 1
        assert hypothesis.confidence.calibrated is None


async def test_the_same_task_gives_the_same_answer(
    embedder: StaticEmbedder, local: LocalClient, playbook: Playbook
) -> None:
    task = GenerateHypotheses("plan a wedding", examples=await playbook.resembling("plan a wedding"))
    assert await local.run(task, CALL) == await LocalClient(embedder).run(task, CALL)


async def test_another_request_is_never_spoken_of(local: LocalClient, playbook: Playbook) -> None:
    text = "Plan a trip to Tokyo"
    task = GenerateHypotheses(text, examples=await playbook.resembling(text), count=5)
    answer = repr((await local.run(task, CALL)).value)
    assert not any(place in answer for place in ("Paris", "Japan", "London", "Rome"))


async def test_one_concern_is_asked_once(local: LocalClient) -> None:
    details = [
        Detail("Budget", "What is your budget?", 3, ("Low", "High")),
        Detail("Budget constraints", "Do you have a budget in mind?", 2, ("Low", "High")),
        Detail("Number of guests", "How many guests will come?", 2, ("Few", "Many")),
    ]
    examples = tuple(
        Example(str(n), 0.6, f"plan a party {n}", True, (detail,)) for n, detail in enumerate(details)
    )
    questions = await asked(local, GenerateHypotheses("plan a party", examples=examples, count=2))
    assert sum("budget" in question.lower() for question in questions) == 1
    assert sum("guests" in question.lower() for question in questions) == 1


PARTY = (
    Example("1", 0.7, "plan a party", True, (
        Detail("Budget", "What is your budget?", 3, ("Low", "High")),
        Detail("Music preferences", "Which music do you like?", 2, ("Jazz", "Rock")),
        Detail("Number of guests", "How many guests will come?", 2, ("Few", "Many")),
    )),
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "settled"),
    [
        (GenerateHypotheses("plan a party for $300", examples=PARTY), "budget"),
        (GenerateHypotheses("plan a party with jazz", examples=PARTY), "music"),
        (GenerateHypotheses("plan a party", {"budget": 300}, examples=PARTY), "budget"),
        (GenerateHypotheses("plan a party", {"event": {"guests": "12"}}, examples=PARTY), "guests"),
        (
            GenerateHypotheses("plan a party", conversation=(Turn("user", "rock only"),), examples=PARTY),
            "music",
        ),
        (
            GenerateHypotheses(
                "plan a party", conversation=(Turn("assistant", "Your budget?"),), examples=PARTY
            ),
            "budget",
        ),
        (GenerateHypotheses("plan a party", asked=("How many guests will come?",), examples=PARTY), "guests"),
    ],
)
async def test_what_is_answered_is_not_asked(
    task: GenerateHypotheses, settled: str, local: LocalClient
) -> None:
    plain = await asked(local, GenerateHypotheses("plan a party", examples=PARTY))
    assert any(settled in question.lower() for question in plain)
    assert not any(settled in question.lower() for question in await asked(local, task))


@pytest.mark.parametrize(
    "text",
    [
        "Planifie un voyage à Paris",
        "Erstelle eine API für mich",
        "日本語で旅行を計画して",
        "Построй мне сайт",
        "   ",
    ],
)
async def test_no_english_question_in_another_language(
    text: str, local: LocalClient, playbook: Playbook
) -> None:
    assert await asked(local, GenerateHypotheses(text, examples=await playbook.resembling(text))) == []


async def test_examples_in_the_language_of_the_request_are_used(local: LocalClient) -> None:
    detail = Detail("Budget der Reise", "Wie hoch ist das Budget?", 3, ())
    example = Example("1", 0.8, "Plane eine Reise für mich", True, (detail,))
    questions = await asked(local, GenerateHypotheses("Plane eine lange Reise", examples=(example,)))
    assert questions == ["Wie hoch ist das Budget?"]


async def test_stream_yields_the_hypotheses_then_the_completion(local: LocalClient) -> None:
    task = GenerateHypotheses("plan a party", examples=PARTY)
    items = [item async for item in local.stream(task, CALL)]
    assert isinstance(items[-1], Completion)
    assert items[:-1] == items[-1].value
    assert all(isinstance(item, Hypothesis) for item in items[:-1])


async def test_clarity_tells_a_full_request_from_a_vague_one(local: LocalClient, playbook: Playbook) -> None:
    async def clarity(text: str) -> float:
        examples = await playbook.resembling(text, exclude_own_row=True)
        return (await local.run(JudgeClarity(text, examples=examples), CALL)).value

    assert await clarity("Plan a trip") < 0.5 < await clarity("What is the capital of France?")


async def test_an_answer_given_makes_a_request_clearer(local: LocalClient) -> None:
    bare = (await local.run(JudgeClarity("plan a party"), CALL)).value
    assert (await local.run(JudgeClarity("plan a party", {"budget": 5}), CALL)).value > bare


async def test_a_summary_keeps_the_budget_and_the_sentences(local: LocalClient) -> None:
    text = (
        "Cats sleep. "
        + "The server crashed because the disk was full. " * 3
        + "The disk of the server is small."
    )
    summary = (await local.run(Summarize(text, 30), CALL)).value
    assert estimate(summary) <= 30
    assert summary
    assert summary in text or all(part.strip(" .") in text for part in summary.split("."))


async def test_a_short_text_is_its_own_summary(local: LocalClient) -> None:
    assert (await local.run(Summarize(" Cats sleep. ", 50), CALL)).value == "Cats sleep."


async def test_enrichment_reads_purpose_and_skill(local: LocalClient) -> None:
    text = "I am new to Python. Help me build a site so that my shop can sell online."
    enrichment = (await local.run(EnrichContext(text), CALL)).value
    assert enrichment.implicit_goals == ("my shop can sell online",)
    assert enrichment.expertise_level == "beginner"
    assert enrichment.next_steps


async def test_followups_ask_about_the_request_in_the_context(local: LocalClient) -> None:
    task = FollowupQuestions({"input_text": "plan a party", "budget": "300"}, examples=PARTY, count=2)
    questions = (await local.run(task, CALL)).value
    assert len(questions) == 2
    assert not any("budget" in question for question in questions)


async def test_relevance_orders_candidates(local: LocalClient) -> None:
    task = ScoreRelevance("my dog's vet", ("I like jazz", "The vet saw my dog"))
    jazz, vet = (await local.run(task, CALL)).value
    assert 0 <= jazz < vet <= 1
    assert (await local.run(ScoreRelevance("q", ()), CALL)).value == []


async def test_a_pick_becomes_a_facet_change(local: LocalClient) -> None:
    task = UpdateFacets("programming language", "Go", ("Python", "Go"))
    assert (await local.run(task, CALL)).value == [FacetChange("programming language", "Go", ("Python",))]


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=200), key=st.text(max_size=5), value=st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
))  # fmt: skip
async def test_any_request_and_context_is_answered(
    text: str, key: str, value: object, local: LocalClient
) -> None:
    hypotheses = (await local.run(GenerateHypotheses(text, {key: value}, examples=PARTY), CALL)).value
    assert len(hypotheses) <= 3
    assert 0 <= (await local.run(JudgeClarity(text), CALL)).value <= 1
