import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.slm.rules.statement import statement
from app.clients.slm.rules.wording import ask, names, opening, reuse, topic
from app.text import stems


@pytest.mark.parametrize(
    ("description", "question"),
    [
        ("Number of guests", "How many guests do you have in mind?"),
        ("Dietary restrictions", "Are there any dietary restrictions to consider?"),
        ("Preferred learning style", "Which learning style do you prefer?"),
        ("Accommodation preferences", "Do you have any accommodation preferences?"),
        ("Preference for new or used parts", "Do you prefer new or used parts?"),
        ("User's fitness level", "What is your fitness level?"),
        ("Target audience", "Who is the target audience?"),
        ("Time availability for workouts", "How much time do you have for workouts?"),
        ("Time commitment", "How much time do you have?"),
        ("Handling of duplicates", "How should duplicates be handled?"),
    ],
)
def test_a_description_becomes_a_question_by_its_form(description: str, question: str) -> None:
    phrase = topic(description, ())
    assert phrase is not None
    assert ask(phrase) == question


@pytest.mark.parametrize(
    ("description", "foreign", "left"),
    [
        ("Budget for the headphones", "headphones", "budget"),
        ("Gardening experience level", "gardening", "experience level"),
        ("Length of stay in Paris", "Paris", "length of stay"),
        ("Source of the tweets", "tweets", None),
        ("Cryptocurrencies", "cryptocurrencies", None),
        ("Type of preference", "", None),
    ],
)
def test_what_belongs_to_another_request_is_taken_out(
    description: str, foreign: str, left: str | None
) -> None:
    assert topic(description, stems(foreign)) == left


def test_an_opening_already_used_is_avoided() -> None:
    first = ask("preferred language")
    assert opening(ask("preferred platform", {opening(first)})) != opening(first)


@pytest.mark.parametrize(
    ("asked", "foreign", "again"),
    [
        ("What is your budget for the trip to Paris?", "Paris", "What is your budget for the trip?"),
        ("Do you have any allergies, such as nuts or milk?", "", "Do you have any allergies?"),
        ("Which genre? Are you in the mood for comedy?", "", None),
        ("Which puzzle do you mean?", "puzzle", None),
        ("What level are you looking for in a yoga class?", "yoga", "What level are you looking for?"),
        ("What level are you looking for yoga?", "yoga", None),
    ],
)
def test_a_question_asked_before_is_shortened_or_left(asked: str, foreign: str, again: str | None) -> None:
    assert reuse(asked, stems(foreign)) == again


def test_names_are_the_capitals_in_mid_sentence() -> None:
    assert names("Plan a trip to Paris. Then fly to New York.") == {"pari", "new", "york"}


@pytest.mark.parametrize(
    ("request_", "missing", "said"),
    [
        (
            "Plan a trip to Tokyo.",
            "budget",
            "You want to plan a trip to Tokyo and have not mentioned the budget.",
        ),
        (
            "Can you fix my bike?",
            "earlier attempts",
            "You want to fix your bike and have not mentioned earlier attempts.",
        ),
        ("Teach me Greek", "your level", "You say “Teach me Greek” and have not mentioned your level."),
        ("What is love?", "purpose", "You say “What is love” and have not mentioned the purpose."),
    ],
)
def test_the_statement_says_the_request_back(request_: str, missing: str, said: str) -> None:
    assert statement(request_, missing) == said


@given(st.text(min_size=1), st.lists(st.text(), max_size=3))
def test_any_topic_gives_one_line_that_is_a_question(description: str, foreign: list[str]) -> None:
    strange = {stem for text in foreign for stem in stems(text)}
    phrase = topic(description, strange)
    if phrase is not None:
        question = ask(phrase)
        assert question.endswith("?")
        assert "\n" not in question
        assert not strange & set(stems(phrase))
