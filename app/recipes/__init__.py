"""Training scripts as real files, and `render`, which lays one beside its configuration.

The recipes run in an environment of their own (scripts/setup_train.sh), where this package is not
installed: whatever they import from `app` is copied beside them by `render`.
"""
