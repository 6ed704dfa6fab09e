"""For tests of third parties: contract suites for backends, and an environment that needs no server."""
