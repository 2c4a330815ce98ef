"""The stack for one machine: all systems that the app talks to, and commands to try it. It is never deployed."""
