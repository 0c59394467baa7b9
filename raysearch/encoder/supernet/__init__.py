"""A supernet: one encoder whose sub-networks share its weights. It is trained once, and its slices are encoders."""
