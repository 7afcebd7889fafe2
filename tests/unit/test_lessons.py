"""What an answer teaches, and what of it leaves the user's scope."""

from typing import Any

import pytest

from app.clients.slm.rules.asked_for import asked_for, impersonal
from app.clients.slm.rules.language import is_english
from app.clients.slm.rules.wording import ask, topic
from app.models import Detail, Interaction, Selection
from app.services.lessons import Lesson, Wording, disliked, lesson, passed
from app.text import stems
from tests.nouns import a_feedback, a_selection, an_interaction

WORDING = Wording(asked_for, impersonal, topic, ask, is_english)
REQUEST = "Plan a trip to Lisbon for my wife Rosalind"


def shown(*details: str, **fields: Any) -> Interaction:
    """An answer with these details, whose hypotheses are h0, h1 and so on."""
    hypotheses = [
        {
            "id": f"h{place}",
            "detail": detail,
            "question": f"What is the {detail}?",
            "importance": 2,
            "options": ["Low", "High"],
        }
        for place, detail in enumerate(details)
    ]
    given = {"input_text": REQUEST, "answer": {"hypotheses": hypotheses}} | fields
    return an_interaction(**given)


def typed(text: str) -> Selection:
    return a_selection(hypothesis_id=None, option=None, free_text=text)


def taught(asked: Interaction, said: Selection) -> Lesson:
    found = lesson(asked, said, WORDING)
    assert found is not None
    return found


def test_a_pick_teaches_its_question_with_the_picked_option_first() -> None:
    learned = taught(shown("budget", "season"), a_selection(hypothesis_id="h1", option="High"))
    assert learned.own == Detail("season", "What is the season?", 2.0, ("High", "Low"))
    assert learned.text == REQUEST
    assert learned.shared is not None
    assert (learned.shared.description, learned.shared.options) == ("season", ("High", "Low"))


def test_a_typed_question_teaches_what_it_asks_for() -> None:
    learned = taught(
        shown("budget"), typed("What food does Rosalind like, what are her dietary restrictions?")
    )
    assert learned.own.question == "What food does Rosalind like, what are her dietary restrictions?"
    learned = taught(shown("budget"), typed("Are there any dietary restrictions of my wife?"))
    assert learned.shared is not None
    assert learned.shared.description == "dietary restrictions"


def test_a_few_typed_words_name_a_detail_and_more_of_them_do_not() -> None:
    assert taught(shown("budget"), typed("travel dates")).own.description == "travel dates"
    assert lesson(shown("budget"), typed("I do not care about any of this, just do it now"), WORDING) is None
    assert lesson(shown("budget"), typed("..."), WORDING) is None
    assert lesson(shown("budget"), a_selection(hypothesis_id=None, option=None), WORDING) is None


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("What is the email of bob@example.com?", "bob"),
        ("Which hotel did Rosalind book for 450 euros?", "450"),
        ("What is the mood of Rosalind?", "rosalind"),
        ("Which part of “the blue letter” matters?", "letter"),
        ("What is the weight of my mother?", "mother"),
        ("Which trip do you mean?", "trip"),
    ],
)
def test_no_word_of_the_request_no_name_and_no_number_leaves(text: str, secret: str) -> None:
    learned = taught(shown("budget"), typed(text))
    assert learned.own.question == text
    if learned.shared is not None:
        left = f"{learned.shared.description} {learned.shared.question}".lower()
        assert secret not in left
        assert not set(stems(REQUEST)) & set(stems(learned.shared.description))


def test_what_the_user_has_on_record_does_not_leave_with_the_options() -> None:
    asked = shown("office in Gloucester")
    asked.answer["hypotheses"][0]["options"] = ["Gloucester", "Harbour", "Downtown"]
    answer = dict(asked.answer) | {"context": {"memories": [{"text": "works in Gloucester"}], "facets": []}}
    learned = taught(
        an_interaction(input_text=REQUEST, answer=answer), a_selection(hypothesis_id="h0", option=None)
    )
    assert learned.shared is not None
    assert learned.shared.options == ("Harbour", "Downtown")
    assert "gloucester" not in learned.shared.description.lower()


def test_another_language_leaves_whole_or_not_at_all() -> None:
    german = shown(input_text="Ich möchte eine Reise planen")
    learned = taught(german, typed("Wie hoch ist dein Budget?"))
    assert learned.shared is not None
    assert learned.shared.question == "Wie hoch ist dein Budget?"
    assert taught(german, typed("Wohin geht die Reise?")).shared is None


def test_what_stood_above_the_pick_was_passed_over() -> None:
    asked = shown("budget", "season", "guests")
    above = [one.own for one in passed(asked, a_selection(hypothesis_id="h1"), WORDING)]
    assert above == ["budget"]
    assert len(list(passed(asked, typed("travel dates"), WORDING))) == 3
    marked = a_feedback(not_useful=("h2", "m1"))
    assert [one.own for one in disliked(asked, marked, WORDING)] == ["guests"]
