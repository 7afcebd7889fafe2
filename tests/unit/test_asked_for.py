import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.slm.rules.asked_for import asked_for, impersonal


@pytest.mark.parametrize(
    ("question", "detail"),
    [
        ("What is your budget for the trip to Paris?", "budget for the trip"),
        ("Could you please specify your desired travel dates?", "travel dates"),
        ("How many people are you expecting at your game night?", "number of people"),
        ("What type of home do you live in?", "type of home"),
        ("What's the difficulty level of the trail you'll be hiking on?", "difficulty level of the trail"),
        ("Are there any specific ingredients you'd like to avoid?", "ingredients"),
        ("Do you have any dietary restrictions I should consider?", "dietary restrictions"),
        ("In which format would you like the headlines?", "format"),
        ("Which SQL database are you using?", "database"),
        ("What do you mean by 'best-rated'?", None),
        ("How long do you plan to stay?", "duration"),
        ("Could you tell me your operating system? It helps me a lot.", "operating system"),
        ("Please define what you mean by old?", None),
        ("Could you share your location or the area where you live?", "location"),
        ("Blue or green?", None),
    ],
)
def test_the_detail_behind_a_question(question: str, detail: str | None) -> None:
    assert asked_for(question) == detail


@pytest.mark.parametrize(
    "phrase",
    [
        "symptoms of Uncle Bob",
        "bill of 2024-05-01",
        "meaning of “my secret”",
        "age of John Smith",
        "symptoms of my mother",
    ],
)
def test_no_name_number_or_quotation_is_left(phrase: str) -> None:
    assert impersonal(phrase) in {"symptoms", "bill", "meaning", "age"}


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    found = asked_for(text)
    assert found is None or found
