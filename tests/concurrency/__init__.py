"""Concurrency: no address is allocated twice, and no request is refused needlessly."""
