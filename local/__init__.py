"""The stack for one machine: everything that the app talks to, never deployed."""
