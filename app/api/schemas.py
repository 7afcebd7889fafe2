"""The bodies of the contract. Unknown fields are refused: a misspelt one must not be ignored in silence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_TEXT = 16_000
MAX_MEMORIES = 1000

Id = Annotated[str, StringConstraints(pattern=r"^[^\s/\\\x00-\x1f]{1,128}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"\S")]
Score = Annotated[float, Field(ge=0, le=1)]


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="after")
    def _no_dot_ids(self) -> Body:
        for name in ("user_id", "session_id"):
            if getattr(self, name, None) in (".", ".."):
                raise ValueError(f"{name} must not be . or ..")
        return self


class TurnBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    role: Annotated[str, StringConstraints(pattern="^(system|user|assistant|tool)$")]
    content: Annotated[str, StringConstraints(max_length=MAX_TEXT)]


class HypothesizeBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ada", "input_text": "build api", "count": 3}]}
    )
    user_id: Id
    input_text: Text
    context: dict[str, Any] = Field(default_factory=dict, max_length=200)
    conversation: list[TurnBody] = Field(default_factory=list, max_length=200)
    session_id: Id | None = None
    count: int = Field(3, ge=1, le=5)
    lora_name: Name | None = None
    stream: Literal[False] = Field(False, description="Server-sent events are not served yet")


class SelectionBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"request_id": "0f3c", "hypothesis_id": "a1b2", "option": "Python"}]}
    )
    request_id: Id
    hypothesis_id: Id | None
    option: Text | None = None
    free_text: Text | None = None


class UndoBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"undo_token": "9yJx0Zr5kq3uQm1sT7wVbC2dE4fG6hIj"}]}
    )
    undo_token: Id


class ChoiceBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "ada",
                    "input_text": "Where shall we eat?",
                    "options": ["Thai place", "Burger bar"],
                    "selected": "Thai place",
                }
            ]
        }
    )
    user_id: Id
    input_text: Text
    options: list[Text] = Field(min_length=2, max_length=50)
    selected: Text

    @model_validator(mode="after")
    def _selected_is_an_option(self) -> ChoiceBody:
        if self.selected not in self.options:
            raise ValueError("selected must be one of options, to the letter")
        return self


class FeedbackBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_id": "ada", "request_id": "0f3c", "rating": 1, "useful": ["a1b2"]}]
        }
    )
    user_id: Id
    request_id: Id | None = None
    rating: float = Field(ge=-1, le=1)
    comment: Text | None = None
    correction: Text | None = None
    useful: list[Id] = Field(default_factory=list, max_length=200)
    not_useful: list[Id] = Field(default_factory=list, max_length=200)


class MemoryItem(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    text: Text
    external_id: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    thread: Name | None = None
    position: int | None = Field(None, ge=0, le=2**31 - 1)
    kind: Name = "note"
    importance: Score = 0.5
    created_at: Annotated[AwareDatetime | None, Field(strict=False)] = None
    metadata: dict[str, Any] = Field(default_factory=dict, max_length=100)


class MemoriesBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "ada", "items": [{"text": "I write Python at work", "external_id": "m1"}]}
            ]
        }
    )
    user_id: Id
    items: list[MemoryItem] = Field(min_length=1, max_length=MAX_MEMORIES)


class SearchBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ada", "query": "which language do I use?", "top_k": 5}]}
    )
    user_id: Id
    query: Text
    top_k: int = Field(10, ge=1, le=100)
    rerank: bool | None = None


class RankBody(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "ada", "query": "Dinner?", "candidates": ["Noodle soup", "Cheeseburger"]}
            ]
        }
    )
    user_id: Id
    query: Text
    candidates: list[Text] = Field(min_length=1, max_length=200)


class FacetPatch(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: Name
    value: Text | None = Field(None, description="null ends the facet")


class PersonaPatch(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"facets": [{"name": "programming language", "value": "Python"}]}]}
    )
    facets: list[FacetPatch] = Field(min_length=1, max_length=50)


class EnrichBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "ada", "input_text": "build api"}]})
    user_id: Id
    input_text: Text
    context: dict[str, Any] = Field(default_factory=dict, max_length=200)


class FollowupsBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ada", "context": {"request": "build api"}, "count": 3}]}
    )
    user_id: Id
    context: dict[str, Any] = Field(max_length=200)
    count: int = Field(3, ge=1, le=5)


class SummarizeBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "A long text. Of two sentences.", "max_tokens": 64}]}
    )
    text: Annotated[str, StringConstraints(min_length=1, max_length=200_000, pattern=r"\S")]
    max_tokens: int = Field(128, ge=8, le=2048)


class ConfidenceOut(BaseModel):
    raw: float
    calibrated: float | None
    labels: int
    method: str


class HypothesisOut(BaseModel):
    id: str
    detail: str
    question: str
    statement: str
    importance: int
    options: list[str]
    confidence: ConfidenceOut
    producer: str


class FacetOut(BaseModel):
    id: str
    name: str
    value: str
    rejected: list[str]
    confidence: float
    evidence: list[str]
    counter_evidence: list[str]
    last_seen: datetime
    valid_from: datetime
    valid_to: datetime | None
    producer: str


class MemoryOut(BaseModel):
    id: str
    external_id: str | None
    text: str


class ContextOut(BaseModel):
    memories: list[MemoryOut]
    facets: list[dict[str, Any]]
    enrichment: dict[str, Any] | None
    tokens: int


class BackendOut(BaseModel):
    name: str
    model: str
    adapter: str | None
    arm: str | None
    degraded: bool
    reason: str | None


class TimingsOut(BaseModel):
    total: float
    backend: float
    backend_calls: int


class BoundOut(BaseModel):
    """At most a share `alpha` of what is assumed is wrong, with probability 1 - `delta`."""

    alpha: float
    delta: float
    labels: int


class AutoAdvanceOut(BaseModel):
    """The answer to one of the questions, assumed because this user would very likely give it."""

    hypothesis_id: str
    option: str
    assumption: str
    undo_token: str
    undo_expires_at: datetime
    bound: BoundOut


class HypothesizeOut(BaseModel):
    """The answer to POST /v1/hypothesize."""

    request_id: str
    session_id: str
    round: int
    needs_clarification: bool
    clarity: float
    hypotheses: list[HypothesisOut]
    auto_advance: AutoAdvanceOut | None
    context: ContextOut
    backend: BackendOut
    timings_ms: TimingsOut
