"""What a developer runs: embedded servers, migrated template databases, a Nautobot web server, the demo."""
