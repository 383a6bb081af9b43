"""Nautobot's own available-ips, answered by the App."""
