"""Adapters to the world: stores, buses, and the participants that steps act on."""
