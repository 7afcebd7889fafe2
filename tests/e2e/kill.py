"""Kill -9 at random moments under load, start again, and see what is left.

python -m tests.e2e.kill --rounds 200 [--victim service|store]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.e2e.service_victim import ServiceVictim
from tests.e2e.store_victim import StoreVictim

LOADED_SECONDS = 0.8
"""A victim at work is killed at a random moment within these."""
STARTING_SECONDS = 1.0
EARLY = 0.15
"""How often it is killed while it still starts."""


class Victim(Protocol):
    """A process under load that keeps its data between one life and the next."""

    async def start(self) -> None:
        """Start it, with load from the first moment that it takes any."""
        ...

    async def working(self) -> None:
        """Wait until it has acknowledged something in this life."""
        ...

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone and every acknowledgement was read."""
        ...

    async def check(self) -> Counter[str]:
        """What is there after the kill; a key that begins with "lost" or "broken" is a defect."""
        ...


VICTIMS: dict[str, Callable[[Path], Victim]] = {"service": ServiceVictim, "store": StoreVictim}


@dataclass
class Report:
    rounds: int = 0
    found: Counter[str] = field(default_factory=Counter)

    @property
    def defects(self) -> dict[str, int]:
        return {what: count for what, count in self.found.items() if what.startswith(("lost", "broken"))}


async def kill_repeatedly(victim: Victim, rounds: int, rng: random.Random) -> Report:
    report = Report()
    for _ in range(rounds):
        await victim.start()
        if rng.random() < EARLY:
            await asyncio.sleep(rng.uniform(0, STARTING_SECONDS))
        else:
            await victim.working()
            await asyncio.sleep(rng.uniform(0, LOADED_SECONDS))
        await victim.kill()
        report.rounds += 1
        report.found += await victim.check()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how many lives (default 200)")
    parser.add_argument("--victim", choices=sorted(VICTIMS), default="service", help="what to kill")
    parser.add_argument("--seed", type=int, default=0, help="of the moments to kill at")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        victim = VICTIMS[arguments.victim](Path(directory))
        report = asyncio.run(kill_repeatedly(victim, arguments.rounds, random.Random(arguments.seed)))
    counts = ", ".join(f"{count} {what}" for what, count in sorted(report.found.items()))
    sys.stdout.write(f"{report.rounds} times kill -9: {counts}\n")
    return 1 if report.defects else 0


if __name__ == "__main__":
    sys.exit(main())
