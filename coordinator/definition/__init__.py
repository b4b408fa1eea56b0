"""Saga definitions: the Python front end, the rules, and the intermediate form they become."""
