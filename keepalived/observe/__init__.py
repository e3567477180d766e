"""What people and Prometheus get to see: logs, metrics, health."""
