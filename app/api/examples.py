"""What each call answers, for the OpenAPI document: one example for each model of an answer."""

from __future__ import annotations

from typing import Any

from app.api.examples_trials import TRIAL_ANSWERS

_REQUEST = "30e6716778844f9d9e0babee19543801"
_SESSION = "302254c2514042e58c3f9ac86b2a32cb"
_HYPOTHESIS = "dc6f8f32ef667e83988cac9ee1fa2ba2"
_MEMORY = "mem_18ea0c14af6fb3db000000e10bd605d543"
_ENTRY = "t-6bf37de2decd04d23200bbfc"
_TIME = "2026-11-21T11:31:24.442757+00:00"
_MEMORY_OUT = {"id": _MEMORY, "external_id": "m1", "text": "I write Python at work"}
_SCORES = {"cosine": 0.41, "bm25": 0.22, "recency": 1.0, "importance": 0.5, "rerank": None}
_LOCAL = {"producer": "local", "degraded": False, "reason": None}

_HYPOTHESIZE: dict[str, Any] = {
    "request_id": _REQUEST,
    "session_id": _SESSION,
    "round": 1,
    "needs_clarification": True,
    "clarity": 0.1184,
    "hypotheses": [
        {
            "id": _HYPOTHESIS,
            "detail": "programming language",
            "question": "Which programming language do you have in mind?",
            "statement": "You want to build api and have not mentioned the programming language.",
            "importance": 3,
            "options": ["Python", "TypeScript", "Go", "Java"],
            "confidence": {"raw": 0.1661, "calibrated": None, "labels": 0, "method": "uncalibrated"},
            "producer": "local",
        }
    ],
    "auto_advance": None,
    "context": {"memories": [_MEMORY_OUT], "facets": [], "enrichment": None, "tokens": 0},
    "backend": {
        "name": "local",
        "model": "rules-1",
        "adapter": None,
        "arm": None,
        "degraded": False,
        "reason": None,
    },
    "timings_ms": {"total": 5.22, "backend": 3.52, "backend_calls": 0},
}
_FACET = {
    "id": "fct_442b82c070835b6a078ee2f1",
    "name": "programming language",
    "value": "Python",
    "rejected": ["TypeScript", "Go", "Java"],
    "confidence": 0.6,
    "evidence": [_REQUEST],
    "counter_evidence": [],
    "last_seen": _TIME,
    "valid_from": _TIME,
    "valid_to": None,
    "producer": "heuristic",
}
_ENTRY_OUT = {
    "id": _ENTRY,
    "scope": "tenant",
    "text": None,
    "detail": "programming language",
    "question": "Which programming language do you have in mind?",
    "importance": 3.0,
    "options": ["Python", "TypeScript", "Go", "Java"],
    "picks": 1.0,
    "skips": 0.0,
    "weight": 1.0,
    "disabled": False,
}
_INTERACTION = {
    "request_id": _REQUEST,
    "kind": "hypothesize",
    "user_id": "ada",
    "session_id": _SESSION,
    "created_at": _TIME,
    "input_text": "build api",
    "answer": _HYPOTHESIZE,
    "selection": {"hypothesis_id": _HYPOTHESIS, "option": "Python", "free_text": None, "created_at": _TIME},
}
_STATUS = {
    "version": "0.1.0",
    "database": {"ok": True, "detail": ""},
    "embedder": {"name": "wordllama-l2_supercat-256", "ok": True, "detail": ""},
    "playbook": {"entries": 1058, "embedded": True},
    "backend": {
        "name": "vllm",
        "ok": True,
        "detail": "",
        "model": "unsloth/Qwen2.5-3B-Instruct",
        "version": "0.32.0",
        "adapters": ["api-5f3c"],
    },
    "replicas": [
        {
            "url": "http://localhost:8000",
            "ok": True,
            "detail": "",
            "version": "0.32.0",
            "adapters": ["api-5f3c"],
            "reconciled": [{"name": "api-5f3c", "phase": "verified", "error": ""}],
        }
    ],
    "training_data": {"enabled": False, "files": {}, "queued": 0, "dropped": 0, "failed": 0, "healed": 0},
}

_DATASET = "default-hypotheses-5f3c0f9a1b2c/hypotheses.jsonl"
_ROWS = {"made": 812, "train": 700, "held_out": 80, "repeated": 32}
_JOB = {
    "id": "9f1c2b7e5d604f0c8a3b1e7d2c4a6b80",
    "task": "hypotheses",
    "recipe": "sft",
    "status": "running",
    "created_at": _TIME,
    "started_at": _TIME,
    "ended_at": None,
    "progress": {
        "step": 20.0,
        "steps": 175.0,
        "epoch": 0.114,
        "loss": 1.84,
        "learning_rate": 0.0002,
        "seconds": 31.5,
        "eta_seconds": 244.1,
    },
    "adapter": None,
    "detail": "",
    "cancel_asked": False,
    "config": {
        "epochs": 1.0,
        "rank": 16,
        "model_name": "unsloth/Qwen2.5-3B-Instruct",
        "dataset": f"data/training/datasets/{_DATASET}",
        "output": "data/training/jobs/9f1c2b7e5d604f0c8a3b1e7d2c4a6b80/output",
    },
}

ANSWERS: dict[str, Any] = {
    **TRIAL_ANSWERS,
    "TrainingStats": {
        "collecting": True,
        "records": {
            "hypotheses_data.jsonl": 1630,
            "persona_updates.jsonl": 410,
            "ranking_data.jsonl": 95,
            "user_feedback.jsonl": 120,
        },
        "labels": {"picked": 815, "undone": 4, "judged": 60, "ranked": 30, "choices": 45, "facets": 410},
        "datasets": [{"name": "default-hypotheses-5f3c0f9a1b2c", "task": "hypotheses", "rows": _ROWS}],
        "running": _JOB,
    },
    "DatasetsOut": {
        "items": [
            {
                "name": _DATASET,
                "task": "hypotheses",
                "rows": _ROWS,
                "records_dropped": {"nothing was picked": 3},
                "lines_dropped": {},
                "note": "left out: nothing was picked (3)",
            }
        ]
    },
    "JobPage": {"items": [_JOB], "next_cursor": None},
    "JobOut": _JOB,
    "HypothesizeOut": _HYPOTHESIZE,
    "SelectionOut": {
        "request_id": _REQUEST,
        "session_id": _SESSION,
        "learned": [{"kind": "pick", "name": "programming language", "value": "Python"}],
        "resolved_request": "Build api. Programming language: Python.",
        "assumptions": [],
        "next": None,
    },
    "UndoOut": {
        "request_id": _REQUEST,
        "undone": {"hypothesis_id": _HYPOTHESIS, "detail": "programming language", "option": "Python"},
        "learned": [{"kind": "undo", "name": "programming language", "value": "Python"}],
    },
    "CalibrationsOut": {
        "calibrations": [
            {
                "producer": "local",
                "model": "rules-1",
                "adapter": None,
                "prompt_version": "",
                "scorer_version": "logit-1",
                "labels": 162,
                "judged": {
                    "labels": 111,
                    "base_rate": 0.33,
                    "brier": 0.18,
                    "skill": 0.19,
                    "ece": 0.04,
                    "ece_by_chance": 0.05,
                    "bins": [
                        {"predicted": 0.14, "observed": 0.11, "labels": 56},
                        {"predicted": 0.51, "observed": 0.55, "labels": 55},
                    ],
                },
            }
        ],
        "bound": {"alpha": 0.05, "delta": 0.1, "labels": 54, "threshold": None, "stood_down": 0},
        "order": {"labels": 54, "weights": {"rank": -0.41, "importance": 0.12}},
    },
    "RecordedOut": {
        "id": "dcdbeb1e1a3d466f89fe37c2512bebfd",
        "learned": [{"kind": "choice", "name": "Where shall we eat?", "value": "Thai place"}],
    },
    "StoredOut": {"items": [{"id": _MEMORY, "external_id": "m1"}]},
    "MemoryPage": {
        "items": [
            {
                **_MEMORY_OUT,
                "thread": None,
                "position": None,
                "kind": "note",
                "importance": 0.5,
                "created_at": _TIME,
                "metadata": {},
            }
        ],
        "next_cursor": None,
    },
    "SearchOut": {
        "request_id": _REQUEST,
        "results": [{**_MEMORY_OUT, "score": 0.39, "scores": _SCORES}],
        "producer": "fusion",
        "reason": None,
    },
    "RankOut": {
        "request_id": _REQUEST,
        "ranking": [
            {"index": 0, "text": "Noodle soup", "score": 0.005295},
            {"index": 1, "text": "Cheeseburger", "score": -0.085134},
        ],
        "producer": "persona",
    },
    "PersonaOut": {"user_id": "ada", "facets": [_FACET], "history": []},
    "EntryOut": _ENTRY_OUT,
    "PlaybookPage": {
        "items": [_ENTRY_OUT],
        "next_cursor": None,
        "events": 3,
        "fingerprint": "024a9c1b3f5dcba2125ca7b356fc2fda",
    },
    "EnrichOut": {
        "implicit_goals": ["build api"],
        "expertise_level": "unknown",
        "next_steps": ["Settle what is open about api"],
        **_LOCAL,
    },
    "FollowupsOut": {"questions": ["Which programming language do you have in mind?"], **_LOCAL},
    "SummarizeOut": {"summary": "A long text. Of two sentences.", **_LOCAL},
    "ExportOut": {
        "user_id": "ada",
        "exported_at": _TIME,
        "tables": {"memories": [_MEMORY_OUT | {"tenant": "default", "user_id": "ada"}]},
    },
    "Receipt": {
        "user_id": "ada",
        "erased_at": _TIME,
        "rows": {"interactions": 3, "selections": 1},
        "training_files": {"hypotheses_data.jsonl": 3},
        "datasets": {"default-hypotheses-3f1c09aa72d4": 1},
        "adapters": ["hypotheses-0c4d5e6f7a8b"],
    },
    "InteractionOut": _INTERACTION,
    "Alive": {"status": "ok"},
    "Status": _STATUS,
}
"""By the model's name."""
