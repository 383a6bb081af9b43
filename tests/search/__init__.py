"""Constant cost: what a search reads does not depend on the number of used addresses."""
