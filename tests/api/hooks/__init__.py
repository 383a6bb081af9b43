"""PVE's hooks and the NetBox facade, over HTTP."""
