"""The App's REST API. May import services, search and models; never ui."""
