"""The locks and the search on a real MariaDB, if one is installed."""
