"""Losses of the five papers, one equation a module."""

from mmssl.losses.cca import canonical_correlation
from mmssl.losses.infonce import info_nce, info_nce_all_locations

__all__ = ["canonical_correlation", "info_nce", "info_nce_all_locations"]
