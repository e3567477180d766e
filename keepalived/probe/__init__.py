"""Measuring how a vCenter treats its sessions, on sessions made for that."""
