"""Calls to servers of others: admission and conversion webhooks."""
