"""Transactions, conflicts, refusals."""
