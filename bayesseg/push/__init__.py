"""Sending the feed where it is used. L10."""
