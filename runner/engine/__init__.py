"""The pure core of the engine: facts, state, the reducer. No clock, I/O, randomness or logging."""
