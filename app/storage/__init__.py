"""Seam 2: what is remembered, in one SQL schema for SQLite and PostgreSQL."""
