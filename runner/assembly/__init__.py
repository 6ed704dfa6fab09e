"""Builds objects: the one place that knows every adapter, and the one module that reads the environment."""
