#!/usr/bin/env python3
"""Refit the weights of app/clients/slm/rules/concerns.py by leave-one-out on the shipped playbook.

  python -m scripts.fit_concerns

Every vague entry is taken as a request that the rest of the playbook has to answer. A concern's
worth is importance / 3 of the entry's own detail nearest to it, times how surely the two are the
same; a ridge regression on the features predicts it. Prints WEIGHTS and BIAS, about 10 seconds.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.rules.concerns import FEATURES, Concern, find_concerns
from app.clients.slm.rules.vectors import CachedVectors
from app.models import Example
from app.services.playbook import Playbook
from app.text import words

PLAYBOOK = Path(__file__).parents[1] / "data" / "playbook" / "in3.jsonl"
RIDGE = 10.0
SURE, SLOPE = 0.55, 0.05


async def worth(concerns: list[Concern], own: Example, vectors: CachedVectors) -> NDArray[np.float64]:
    """What asking each concern would bring, 0..1: shape (len(concerns),)."""
    asked = [f"{c.members[0].detail.description}. {c.members[0].detail.question}" for c in concerns]
    lacks = [f"{d.description}. {d.question}" for d in own.details]
    said = set(words(own.text or ""))
    whole = await vectors.of(asked) @ (await vectors.of(lacks)).T
    new = (
        await vectors.of([without(c.members[0].topic, said) for c in concerns])
        @ (await vectors.of([without(d.description, said) for d in own.details])).T
    )
    alike = (whole + new) / 2
    nearest = alike.argmax(axis=1)
    importance = np.array([d.importance for d in own.details])[nearest]
    sure = 1 / (1 + np.exp(-(alike.max(axis=1) - SURE) / SLOPE))
    return np.asarray(importance / 3 * sure, np.float64)


def without(text: str, said: set[str]) -> str:
    """The words that the request has not."""
    return " ".join(word for word in words(text) if word not in said)


async def main() -> None:
    """Gather, fit, print."""
    embedder = StaticEmbedder()
    playbook, vectors = await Playbook.open(PLAYBOOK, embedder), CachedVectors(embedder)
    rows, targets = [], []
    for own in await playbook.resembling("", len(playbook)):
        if own.vague and own.text:
            examples = await playbook.resembling(own.text, exclude_own_row=True)
            if concerns := await find_concerns(own.text, examples, vectors):
                rows += [concern.features for concern in concerns]
                targets += list(await worth(concerns, own, vectors))
    x, y = np.array(rows), np.array(targets)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / spread
    fitted = np.linalg.solve(z.T @ z + RIDGE * np.eye(len(FEATURES)), z.T @ (y - y.mean()))
    weights = fitted / spread
    print("WEIGHTS =", tuple(round(float(w), 4) for w in weights))
    print("BIAS =", round(float(y.mean() - weights @ mean), 4))
    print(f"# {len(y)} concerns, correlation {np.corrcoef(z @ fitted, y)[0, 1]:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
