"""Games and conversations over bad networks: real kernels at both ends, and a link that loses, delays and ends."""
