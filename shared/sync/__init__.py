"""The loop: sequence and policy, against Protocols only."""
