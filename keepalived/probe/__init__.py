"""Measure how a vCenter treats its sessions, on scratch sessions."""
