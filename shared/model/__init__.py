"""The records that pass between the rooms of the app: frozen, and without I/O."""
