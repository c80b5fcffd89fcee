"""Offline rehearsal of the stack."""
