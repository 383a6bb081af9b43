"""Next free IP: which address is found, valid requests, permissions, and repeated requests."""
