"""Deployment: what runs beside the packages, never inside them."""
