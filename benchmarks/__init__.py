"""Nautobot core and this App side by side, over real HTTP, in one run: `make bench`, `make bench-quick`."""
