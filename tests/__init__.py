"""Tests. `pure/` needs neither Django nor a server; in all others, `live` is a real Nautobot reached over HTTP."""
