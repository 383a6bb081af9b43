"""The only code that writes: lock, look, write, check permission. May import search and models; never ui or api."""
