"""`Participant`: another service that takes commands from a topic and answers on another; and the kit to write one."""

from amends.connectors.participant.connector import Participant

__all__ = ["Participant"]
