"""How `local` answers: rules of form and the examples that a task carries, no model and no network."""
