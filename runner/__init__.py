"""Tierform's runner: the engine, the agents and the surfaces that drive them."""

__version__ = "0.1.0"
