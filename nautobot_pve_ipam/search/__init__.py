"""Finds free addresses. Read-only. May import models; never services, ui or api."""
