"""Who somebody is: logging in, the second step, sessions. What they may do is not here."""
