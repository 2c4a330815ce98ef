"""The sign of the app on what it made before it wrote one."""
