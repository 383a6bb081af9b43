"""Nobody is told, or changes, what they may not view: every endpoint, page, panel, metric and GraphQL field."""
