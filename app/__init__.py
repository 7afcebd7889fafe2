"""Embed Service: clarifying hypotheses in front of an assistant."""

__version__ = "0.1.0"
