"""Which address is free? Reads only. May import models; no service, page or endpoint."""
