"""What is true of any backend, as wrappers of the same interface."""

from app.clients.slm.wrappers.compose import Limits, compose

__all__ = ["Limits", "compose"]
