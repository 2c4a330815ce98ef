"""Radiation dose reports: what is read of them, and the Observations that say the same."""
