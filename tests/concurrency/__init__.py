"""Many at once: no address twice, no request refused without need."""
