"""The engine's shell: takes events off the bus, folds them, appends, publishes what follows, acknowledges."""
