"""Flat cost: what a search reads does not depend on how much is used."""
