"""What an examination and a trial found, in lines and tables."""

from __future__ import annotations

from collections.abc import Mapping

from app.models import Adapter
from app.services.canaries import Look
from app.services.gates import Gate


def told_of(name: str, adapter: Adapter) -> None:
    print(f"\n{name} {adapter.name}: {adapter.state}")
    for gate, told in adapter.gates.items():
        figures = ", ".join(f"{figure} {_short(value)}" for figure, value in told["figures"].items())
        print(f"  {gate}: {'passed' if told['passed'] else told['reason']} ({figures})", flush=True)


def compared(name: str, gate: Gate) -> str:
    told = {figure: _short(value) for figure, value in gate.figures.items()}
    if "nll" not in told:
        return f"| {name} | {told['rows']} | too few{' |' * 5}"
    nll = f"{told['nll']}, was {told['nll_live']} | {_span(told, 'nll_gain')}"
    if "accuracy" not in told:
        return f"| {name} | {told['rows']} | {nll} | {told['pairs']} | too few | |"
    accuracy = f"{told['accuracy']}, was {told['accuracy_live']} | {_span(told, 'accuracy_gain')}"
    return f"| {name} | {told['rows']} | {nll} | {told['pairs']} | {accuracy} |"


def tell(look: Look, good: Adapter) -> None:
    shadow, reading = look.shadow, look.reading
    print(f"shadow: {shadow.comparisons} compared, {shadow.valid} valid: {shadow.verdict}, {shadow.reason}")
    print("\n| arm | users | exposures | picked | none fitted | degraded | counted | success |")
    print(f"|{' --- |' * 8}")
    for arm in reading.arms:
        name = f"{arm.name} ({'good' if arm.adapter == good.name else 'bad'})"
        counts = (arm.users, arm.exposures, arm.selected, arm.none_fitted, arm.degraded, arm.counted)
        print(f"| {name} | {' | '.join(map(str, counts))} | {_short(arm.success)} |")
    for guard in reading.guards:
        told = f"{_short(guard.candidate)} against {_short(guard.control)}"
        print(f"guard {guard.name}: {told}, e-value {guard.e_value:.2f}")
    print(f"{look.experiment.verdict}: {look.experiment.reason}")


def _span(told: Mapping[str, str], gain: str) -> str:
    return f"[{told[f'{gain}_low']}, {told[f'{gain}_high']}]"


def _short(value: float | str | None) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
