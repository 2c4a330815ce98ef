"""Adds the app's sign (ADR 17) to resources that an earlier release made without one."""
