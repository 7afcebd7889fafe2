"""What learning is worth, on simulated users, several seeds: `python -m scripts.bench.learning [seeds]`.

Everything is judged before it is learned from. Ends with 1 where a promise is not kept.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from app.clients.embedding.static import StaticEmbedder
from app.services.advance import AdvanceBound
from app.services.habits import Offer
from app.services.reliability import Reliability
from scripts.bench import advancing, asking, ordering, through_service
from scripts.bench.advancing import DELTA, Event, Modules
from scripts.bench.simulated_users import Asked, Task, colleagues, people, tasks

_SEEDS = 10
_FIRST_SEED = 100
_REQUESTS, _ORDER_REQUESTS, _SHIFT_AT = 3000, 4000, 2500
_EDGE_RUNS, _EDGE_EVENTS = 60, 1500
_TOO_SLOW = 200
"""Events after a shift of all habits by which auto-advance must have stood down."""
_SERVED, _SERVED_SHIFT_AT, _SERVED_SEEDS = 800, 700, 2
_COLLEAGUES, _AT_ONCE = 150, 12

Offers = Callable[[Asked], Offer]


def main() -> None:
    seeds = range(_FIRST_SEED, _FIRST_SEED + int(sys.argv[1] if len(sys.argv) > 1 else _SEEDS))
    known = tasks()
    offers = asyncio.run(_embedded(known))
    kept = [
        *(_advance(known, offers, setting, seeds) for setting in _SETTINGS),
        _without_habits(known, offers, seeds),
        _at_the_edge(),
        _shift(known, offers, seeds),
        _ask(known, offers, seeds),
        _order(known, seeds),
        _through_service(seeds[:_SERVED_SEEDS]),
    ]
    print("\nall promises kept" if all(kept) else "\nNOT all promises kept")
    sys.exit(not all(kept))


async def _embedded(known: list[Task]) -> Offers:
    """The vectors of each detail, as the service would embed them."""
    details = [detail for task in known for detail in task.details]
    texts = list(dict.fromkeys(text for one in details for text in (one.description, *one.options)))
    vectors = dict(zip(texts, await StaticEmbedder().embed(texts), strict=True))
    return lambda one: Offer(vectors[one.description], np.array([vectors[text] for text in one.options]))


@dataclass(frozen=True, slots=True)
class Setting:
    """Who is advanced for, under which bound; 40 users in all."""

    alpha: float
    with_habits: int = 24
    taken_back: float = 0.7
    least_share: float = 0.0
    """Of the last third of requests, on every seed."""


_SETTINGS = (
    Setting(0.05),
    Setting(0.1, least_share=0.1),
    Setting(0.1, with_habits=11, least_share=0.1),
    Setting(0.1, taken_back=0.0),
)


def _advance(known: list[Task], offers: Offers, setting: Setting, seeds: Sequence[int]) -> bool:
    """Calibration, wrong advances, share advanced, rounds saved."""
    alpha = setting.alpha
    print(
        f"\n## advance at alpha {alpha}: {_REQUESTS} requests, {setting.with_habits} of 40 users have habits,"
        f" {setting.taken_back:.0%} of wrong advances are undone"
    )
    print("seed  advanced  last third  oracle  wrong  true risk  rounds before  after | ECE (chance)  skill")
    runs = []
    for seed in seeds:
        modules = Modules(offers, alpha)
        users = people(known, seed, setting.with_habits, 40 - setting.with_habits)
        events = advancing.run(users, modules, _REQUESTS, seed, taken_back=setting.taken_back)
        runs.append((events, modules.reliability()))
        print(f"{seed:4}  {_advance_row(events, alpha)} | {_calibration_cells(modules.reliability())}")
    risks, wrongs = [_risk(events) for events, _ in runs], [_wrong(events) for events, _ in runs]
    least = min(_share(_last_third(events)) for events, _ in runs)
    allowed = _allowed(len(runs))
    checks = {
        f"wrong advances above alpha in {allowed} runs or fewer": sum(one > alpha for one in wrongs)
        <= allowed,
        f"their true risk above alpha in {allowed} runs or fewer": sum(one > alpha for one in risks)
        <= allowed,
        "ECE <= 0.05 and skill > 0 on every seed": all(_is_calibrated(said) for _, said in runs),
    }
    if setting.least_share:
        promise = f"{setting.least_share:.0%} or more of the last third advanced on every seed"
        checks[promise] = least >= setting.least_share
    return _told(checks)


def _without_habits(known: list[Task], offers: Offers, seeds: Sequence[int]) -> bool:
    print("\n## users without habits only, alpha 0.1")
    shares = []
    for seed in seeds:
        users = people(known, seed, with_habits=0, without=40)
        shares.append(_share(advancing.run(users, Modules(offers, 0.1), 1000, seed)))
    print("share advanced:", " ".join(f"{share:.3f}" for share in shares))
    return _told({"nothing is advanced": max(shares) == 0})


def _at_the_edge() -> bool:
    """The cruellest users: at every score exactly alpha is wrong, and the bound is asked all the time."""
    rng = np.random.default_rng(1)
    began = 0
    for _ in range(_EDGE_RUNS):
        bound = AdvanceBound(0.1, DELTA)
        scores, wrong = rng.random(_EDGE_EVENTS), rng.random(_EDGE_EVENTS) < bound.alpha
        for score, is_wrong in zip(scores.tolist(), wrong.tolist(), strict=True):
            bound.answered(score, not is_wrong)
            if bound.bound.threshold is not None:
                began += 1
                break
    allowed = _allowed(_EDGE_RUNS)
    print(f"\n## error exactly alpha at every score: {began} of {_EDGE_RUNS} runs ever advanced")
    return _told({f"{allowed} or fewer (delta {DELTA})": began <= allowed})


def _shift(known: list[Task], offers: Offers, seeds: Sequence[int]) -> bool:
    print(f"\n## all habits drawn anew at request {_SHIFT_AT}, alpha 0.1")
    print("seed  stands before  stood down after (events)  advanced till then  wrong  alarms")
    slowest, stood = 0, True
    for seed in seeds:
        modules = Modules(offers, 0.1)
        events = advancing.run(people(known, seed), modules, _SHIFT_AT + 500, seed, shift_at=_SHIFT_AT)
        before = [event for event in events if event.request < _SHIFT_AT]
        after = events[len(before) :]
        delay = next((place for place, event in enumerate(after) if event.stood_down), len(after))
        advanced = [event for event in after[: delay + 1] if event.advanced]
        slowest, stood = max(slowest, delay), stood and not before[-1].stood_down
        print(
            f"{seed:4}  {not before[-1].stood_down!s:13}  {delay:26}  {len(advanced):18}"
            f"  {sum(event.wrong for event in advanced):5}  {modules.bound.stood_down:6}"
        )
    return _told(
        {"auto-advance stood before the shift": stood, f"and down within {_TOO_SLOW}": slowest <= _TOO_SLOW}
    )


def _ask(known: list[Task], offers: Offers, seeds: Sequence[int]) -> bool:
    print(f"\n## one question of three, the rest guessed: {_REQUESTS} requests")
    print("seed  loss asking the most important  asking that of most value  as an oracle would")
    found = [asking.run(people(known, seed), offers, _REQUESTS, seed) for seed in seeds]
    for seed, loss in zip(seeds, found, strict=True):
        print(f"{seed:4}  {loss.by_importance:30.3f}  {loss.by_value:25.3f}  {loss.by_oracle:18.3f}")
    return _told({"less is lost on every seed": all(loss.by_value < loss.by_importance for loss in found)})


def _order(known: list[Task], seeds: Sequence[int]) -> bool:
    print(f"\n## order, and the value of the order of old from its log: {_ORDER_REQUESTS} requests")
    print("seed  wanted first: old  learned (last 1000) | ECE (chance)  skill | true value  estimates")
    covered: dict[str, int] = {}
    calibrated = rising = True
    for seed in seeds:
        outcome = ordering.run(people(known, seed), _ORDER_REQUESTS, seed)
        said, true = outcome.reliability(), float(np.mean(outcome.target_value))
        old, learned = (np.mean(o[-1000:]) for o in (outcome.wanted_first_before, outcome.wanted_first))
        calibrated, rising = calibrated and _is_calibrated(said), rising and bool(learned > old)
        cells = []
        for name, found in outcome.estimates().items():
            covered[name] = covered.get(name, 0) + (found.low <= true <= found.high)
            cells.append(f"{name} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
        print(
            f"{seed:4}  {old:17.3f}  {learned:19.3f} | {_calibration_cells(said)} | {true:10.3f}  "
            + "  ".join(cells)
        )
    needed = len(seeds) - _allowed(len(seeds), 0.05)
    checks = {
        "ECE <= 0.05 and skill > 0 on every seed": calibrated,
        "the learned order is better on every seed": rising,
    }
    for name, count in covered.items():
        checks[f"{name} covers the truth ({count} of {len(seeds)})"] = count >= needed
    return _told(checks)


def _through_service(seeds: Sequence[int]) -> bool:
    """The same bound behind HTTP, where the persona answers first."""
    print(f"\n## the whole service: colleagues come and go, {_SERVED} requests, shift at {_SERVED_SHIFT_AT}")
    print("alpha  seed  advanced  last third  oracle  wrong  true risk | persona  wrong | down after | ECE")
    runs = list(product((0.05, 0.1), seeds))
    with ProcessPoolExecutor(2) as pool:
        outcomes = list(pool.map(_served, *zip(*runs, strict=True)))
    risky, slowest, least, calibrated = 0, 0, 1.0, True
    for (alpha, seed), outcome in zip(runs, outcomes, strict=True):
        before = [event for event in outcome.events if event.request < _SERVED_SHIFT_AT]
        after = outcome.events[len(before) :]
        last = [event for event in before if event.request >= 2 * _SERVED_SHIFT_AT // 3]
        delay = next((place for place, event in enumerate(after) if event.stood_down), len(after))
        said = outcome.reliability()
        print(
            f"{alpha:5}  {seed:4}  {_share(before):8.3f}  {_share(last):10.3f}"
            f"  {advancing.oracle_share(before, alpha):6.2f}  {_wrong(before):5.3f}  {_risk(before):9.3f}"
            f" | {len(outcome.assumed):7}  {outcome.persona_wrong:5.3f}"
            f" | {delay:10} | {_calibration_cells(said)}"
        )
        risky, slowest = risky + (_risk(before) > alpha), max(slowest, delay)
        calibrated = calibrated and _is_calibrated(said)
        least = min(least, _share(last)) if alpha == max(alpha for alpha, _ in runs) else least
    allowed = _allowed(len(runs))
    return _told(
        {
            f"true risk above alpha in {allowed} runs or fewer": risky <= allowed,
            "10% or more of the last third advanced at alpha 0.1": least >= 0.1,
            f"stood down within {_TOO_SLOW} rounds of the shift": slowest <= _TOO_SLOW,
            "ECE <= 0.05 and skill > 0 on every seed": calibrated,
        }
    )


def _served(alpha: float, seed: int) -> through_service.Outcome:
    async def serve(folder: str) -> through_service.Outcome:
        async with through_service.door(Path(folder), alpha) as door:
            users = colleagues(tasks(), seed, _COLLEAGUES)
            return await through_service.run(
                users, door, _SERVED, seed, shift_at=_SERVED_SHIFT_AT, at_once=_AT_ONCE
            )

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(serve(folder))


def _advance_row(events: list[Event], alpha: float) -> str:
    last = _last_third(events)
    return (
        f"{_share(events):8.3f}  {_share(last):10.3f}  {advancing.oracle_share(events, alpha):6.2f}"
        f"  {_wrong(events):5.3f}  {_risk(events):9.3f}"
        f"  {_rounds(last, asked_only=False):13.2f}  {_rounds(last, asked_only=True):5.2f}"
    )


def _rounds(events: list[Event], asked_only: bool) -> float:
    """Questions answered for each request; before learning every detail is one."""
    return sum(not (asked_only and event.advanced) for event in events) / len({e.request for e in events})


def _last_third(events: list[Event]) -> list[Event]:
    return [event for event in events if event.request >= 2 * _REQUESTS // 3]


def _share(events: list[Event]) -> float:
    return sum(event.advanced for event in events) / len(events)


def _wrong(events: list[Event]) -> float:
    """The share of what was advanced that was wrong; 0 where nothing was advanced."""
    return float(np.mean([event.wrong for event in events if event.advanced] or [False]))


def _risk(events: list[Event]) -> float:
    """The mean true chance to be wrong of what was advanced; 0 where nothing was."""
    return float(np.mean([event.risk for event in events if event.advanced] or [0.0]))


def _allowed(runs: int, level: float = DELTA) -> int:
    """Failures that a promise kept with probability 1 - level may show: its mean and two deviations."""
    return math.floor(runs * level + 2 * math.sqrt(runs * level * (1 - level)))


def _is_calibrated(said: Reliability) -> bool:
    return said.ece is not None and said.ece <= 0.05 and said.skill is not None and said.skill > 0


def _calibration_cells(said: Reliability) -> str:
    return f"{said.ece or 0:4.3f} ({said.ece_by_chance or 0:4.3f})  {said.skill or 0:5.3f}"


def _told(checks: dict[str, bool]) -> bool:
    for promise, is_kept in checks.items():
        print(f"{'ok  ' if is_kept else 'FAIL'}  {promise}")
    return all(checks.values())


if __name__ == "__main__":
    main()
