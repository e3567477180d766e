"""Measure how a vCenter treats update sessions, with scratch items."""
