"""Amends: an event-sourced saga coordinator over Kafka for AI workflows that change real data."""

__version__ = "0.1.0"
