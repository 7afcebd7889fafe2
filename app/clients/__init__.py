"""Connections to what lives outside the process: language models and embedders."""
