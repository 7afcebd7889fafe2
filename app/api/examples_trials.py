"""What the calls about adapters and experiments answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

_TIME = "2026-11-21T11:31:24.442757+00:00"
_ADAPTER = {
    "name": "hypotheses-5f3c0f9a1b2c",
    "task": "hypotheses",
    "state": "canary",
    "base_model": "unsloth/Qwen2.5-3B-Instruct",
    "rank": 16,
    "digest": "5f3c0f9a1b2c7d5e604f0c8a3b1e7d2c4a6b805f3c0f9a1b2c7d5e604f0c8a3b",
    "created_at": _TIME,
    "lineage": {"job": "9f1c2b7e5d604f0c8a3b1e7d2c4a6b80"},
    "gates": {
        "offline": {
            "name": "offline",
            "passed": True,
            "figures": {"rows": 80, "nll_gain": 0.41, "nll_gain_low": 0.33, "nll_gain_high": 0.5},
            "reason": "",
        }
    },
}
_EXPERIMENT = {
    "id": "4c1d2e3f5a6b47c8991a2b3c4d5e6f70",
    "task": "hypotheses",
    "control": None,
    "candidate": _ADAPTER["name"],
    "phase": "canary",
    "share": 0.5,
    "alpha": 0.05,
    "verdict": "running",
    "reason": "canary since 2026-11-21 11:31:24 UTC",
    "started_at": _TIME,
    "ended_at": None,
}
_ARM = {
    "name": "control",
    "adapter": None,
    "users": 412,
    "exposures": 655,
    "selected": 371,
    "undone": 4,
    "none_fitted": 38,
    "rated": 61,
    "rating": 0.34,
    "degraded": 2,
    "p50_ms": 310.0,
    "p95_ms": 870.0,
    "counted": 398,
    "success": 0.56,
}

TRIAL_ANSWERS: dict[str, Any] = {
    "AdapterOut": _ADAPTER,
    "AdaptersOut": {"items": [_ADAPTER]},
    "AdapterHistoryOut": _ADAPTER
    | {"moves": [{"before": "registered", "after": "gated", "at": _TIME, "reason": "passed every gate"}]},
    "LiveOut": {"task": "hypotheses", "live": _ADAPTER | {"state": "live"}},
    "ExperimentOut": _EXPERIMENT,
    "ExperimentsOut": {"items": [_EXPERIMENT]},
    "LookOut": _EXPERIMENT
    | {
        "shadow": {
            "comparisons": 50,
            "valid": 1.0,
            "agreement": 0.37,
            "p50_ms": 322.0,
            "p50_ms_live": 308.0,
            "verdict": "canary",
            "reason": "50 answers compared, 0 not valid",
        },
        "arms": [_ARM, _ARM | {"name": "candidate", "adapter": _ADAPTER["name"], "success": 0.61}],
        "evidence": {
            "users": 803,
            "estimate": 0.05,
            "low": -0.055,
            "high": 0.152,
            "better": 0.9,
            "worse": 0.1,
        },
        "guards": [
            {
                "name": "undone",
                "control": 0.01,
                "candidate": 0.012,
                "allowed": 0.02,
                "e_value": 0.2,
                "tripped": False,
            }
        ],
        "decision": "running",
        "decision_reason": "803 users so far",
    },
}
"""By the model's name."""
