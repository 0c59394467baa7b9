"""How the files of an export are laid out: as our own, or as somebody else's runtime loads them."""
