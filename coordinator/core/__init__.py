"""The pure core: fold, decide, commands. No I/O, clock, randomness, environment, logging or `async`."""
