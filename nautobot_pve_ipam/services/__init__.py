"""The only writers: lock, look, write, ask for permission. May import search and models; no page or endpoint."""
