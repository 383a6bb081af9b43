"""Contents of the pages. May import services, search and models; never api."""
