"""Facets: when two values are one, and what of a facet is shown."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.models import Facet
from app.services.facets import same_value
from app.services.persona import facet_body

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.text(max_size=40))
def test_a_value_is_the_same_as_itself_in_other_clothes(text: str) -> None:
    assert same_value(text, text)
    assert same_value("The Red Cars", " red car!")
    assert not same_value("red car", "blue car")


def test_the_contract_s_facet_hides_the_request_it_came_from() -> None:
    facet = Facet("f", "n", "v", (), 0.6, ("r",), (), NOW, NOW, None, "heuristic", "private words")
    assert "private words" not in str(facet_body(facet))
    assert set(facet_body(facet)) == {
        "id",
        "name",
        "value",
        "rejected",
        "confidence",
        "evidence",
        "counter_evidence",
        "valid_from",
        "last_seen",
        "valid_to",
        "producer",
    }
