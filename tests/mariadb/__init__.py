"""The locks and the search on a real MariaDB, where there is one."""
