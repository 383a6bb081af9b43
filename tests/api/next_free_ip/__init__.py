"""The next-free-IP: which address it finds, what a request may say, who may ask, what a repetition gets."""
