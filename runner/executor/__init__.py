"""Agents: they take tasks, run processors under a lease, and report."""
