"""Sealed payloads: what a run holds about a person is encrypted under that subject's key, and erased with it."""
