"""Logs, metrics, health and the status page: what people and Prometheus see."""
