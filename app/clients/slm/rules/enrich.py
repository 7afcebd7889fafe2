"""EnrichContext, UpdateFacets and ScoreRelevance by rule."""

from __future__ import annotations

import re

from app.clients.embedding.base import Embedder
from app.clients.slm.base import EnrichContext, ScoreRelevance, UpdateFacets
from app.clients.slm.rules.request import Request
from app.models import Enrichment, FacetChange
from app.text import stems

_LEVELS = (
    (
        "beginner",
        r"\b(?:beginner|beginners|new to|never|first time|basics?|getting started|novice|for dummies)\b",
    ),
    ("intermediate", r"\b(?:intermediate|some experience|familiar with|a while)\b"),
    ("expert", r"\b(?:expert|advanced|senior|professional|in[- ]depth|production|years of experience)\b"),
)
_PURPOSE = re.compile(
    r"\b(?:so that|in order to|so (?:i|we) can|because|as (?:i|we))\s+([^.!?]{4,120})", re.IGNORECASE
)
_MEANING = 0.6


def enrich(task: EnrichContext) -> Enrichment:
    """What the sentence itself implies: its stated purpose, its words of skill, its steps."""
    text = " ".join([task.user_input, *(str(value) for value in task.context.values())])
    asked = Request.read(task.user_input)
    goals = [match.group(1).strip() for match in _PURPOSE.finditer(task.user_input)]
    level = next((name for name, form in _LEVELS if re.search(form, text, re.IGNORECASE)), "unknown")
    steps = [f"Settle what is open about {asked.object}"] if asked.object else []
    steps += [step[0].upper() + step[1:] for step in asked.actions]
    return Enrichment(tuple(goals or asked.actions[:1]), level, tuple(steps))


def changes(task: UpdateFacets) -> list[FacetChange]:
    """The pick itself: what was asked about, what was taken, what was passed over."""
    selected = task.selected.strip()
    if not selected:
        return []
    rejected = tuple(option for option in task.options if option.strip().lower() != selected.lower())
    return [FacetChange(task.input_text.strip(), selected, rejected)]


async def relevance(task: ScoreRelevance, embedder: Embedder) -> list[float]:
    """For each candidate the mean of cosine and the share of the query's stems that it has, 0..1."""
    if not task.candidates:
        return []
    rows = await embedder.embed([task.query, *task.candidates])
    asked = set(stems(task.query))
    scores = []
    for cosine, candidate in zip(rows[1:] @ rows[0], task.candidates, strict=True):
        shared = len(asked & set(stems(candidate))) / (len(asked) or 1)
        scores.append(round(_MEANING * max(0.0, float(cosine)) + (1 - _MEANING) * shared, 4))
    return scores
