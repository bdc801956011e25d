"""Speaks GitHub; refuses policy, which is the domain's."""
