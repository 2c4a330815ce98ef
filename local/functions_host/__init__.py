"""A functions host for machines without Azure Functions Core Tools. Never deployed."""
