"""What is true of any backend, as wrappers of the same interface."""

from app.clients.slm.wrappers.compose import BackendLimits, compose

__all__ = ["BackendLimits", "compose"]
