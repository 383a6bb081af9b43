"""What the pages show. May import services, search and models; nothing of the REST API."""
