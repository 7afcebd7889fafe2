"""`embed-service worker`: trains when it is time to, and looks after what was trained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from app.config import Settings, load_settings
from app.errors import ServiceError
from app.models import TrainingJob
from app.services.scheduler import Rules, Scheduler, parse_rules
from app.wiring import open_services

log = logging.getLogger(__name__)


def worker(
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks")] = 60.0,
    once: Annotated[bool, typer.Option(help="Look once, run what is queued, end")] = False,
) -> None:
    """Train when TRAIN_AFTER_RECORDS or TRAIN_CRON say so, one at a time, until interrupted."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("app").setLevel(logging.INFO)
    settings = load_settings()
    rules = parse_rules(
        settings.train_after_records,
        settings.train_cron,
        settings.train_cooldown_hours,
        settings.train_quiet_hours,
    )
    asyncio.run(_work(settings, rules, every, once=once))


async def _work(settings: Settings, rules: Rules, every: float, *, once: bool) -> None:
    async with open_services(settings) as services:

        async def order(tenant: str, task: str) -> TrainingJob:
            return await services.training.order(tenant, settings.train_recipe, task=task)

        scheduler = Scheduler(services.store, rules, order)
        if once:
            await _said(scheduler.tick)
            while await services.runner.run_next():
                pass
            return
        async with services.runner.running(), services.canaries.watching(every):
            await _until_stopped(scheduler, every)


async def _until_stopped(scheduler: Scheduler, every: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        await _said(scheduler.tick)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every):
                await stop.wait()


async def _said(work: Callable[[], Awaitable[object]]) -> None:
    """Where it fails, the log says so and the worker goes on: it has jobs and trials to look after."""
    try:
        await work()
    except ServiceError as error:
        log.warning("%s", error.detail)
    except Exception:
        log.exception("the worker's look failed")
