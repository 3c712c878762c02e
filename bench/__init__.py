"""How fast the parts are, each beside its floor in the same run."""
