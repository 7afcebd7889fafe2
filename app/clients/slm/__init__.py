"""Seam 1: a language model does tasks."""
