"""Messaging: a port, and one adapter per bus."""
