"""The App's REST API."""
