"""A functions host for machines without Azure Functions Core Tools. It is never deployed."""
