"""The runtime: what makes decisions happen. Threads, timers, handlers and leases live here and nowhere else."""
