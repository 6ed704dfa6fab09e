"""The native protocol: what crosses the bus, and under which subjects. Described in docs/protocol.md."""
