"""Bags through the real node: player, recorder and the account of what went between them."""
