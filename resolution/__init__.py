"""The product: the case, its lifecycle, and the pages of buyers, creators and staff."""
