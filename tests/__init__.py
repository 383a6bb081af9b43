"""Tests: `pure/` needs neither Django nor a server; `live` in the others is a real Nautobot over HTTP."""
